/* The page-state protocol of a private device: two threads, two pages, one device. Checked by model.sh with spin.
 *
 * What is modelled. offload/mem/{transit,recall,residency,claim,pin,maps}.c and the gate of offload/op/inflight.c, as
 * far as they decide who may touch what. Each thread does one thing after the other, in any order: it reads or writes
 * a page; has the kernel read or write one under a pin; runs a device operation on one page or two; forks; takes the
 * device away and gives it back; evicts a region; changes the mapping of one or frees it and gets it anew. Every step
 * below is one that others can come between: a load, a store, a look at the tables under the map lock, a system call.
 * Memory is sequentially consistent, as the source's atomics are.
 *
 * REGIONS=2: each page is a region of its own; REGIONS=1: both are in one. CAPACITY is the device's, in pages.
 * MECHANISM is one of the two guards: MOVE (userfaultfd: pages without memory are missing for the CPU and the kernel
 * while their region is armed) or REMAP (mprotect; the device may keep its copy when a page comes home).
 *
 * Data. A frame is `fresh` when it holds what was last written to the page, wherever that was. A write makes its own
 * frame fresh and all other copies stale; a copy is as fresh as its source. This is a write counter that never wraps:
 * a stale copy cannot look right by chance, and it takes one bit. One word stands for all words of a page, since the
 * protocol treats them alike: whatever a copy does to an early or a late word, it does to this one in some order.
 *
 * Checked in every state (monitor): each page's data is somewhere, the state word agrees with where it is, the
 * capacity is kept. Checked on the way (assert): whoever reads meets the last write, on the CPU, in the kernel, on the
 * device and in a forked child; the kernel never meets a page that it would answer with EFAULT; nothing is on the
 * device after offline. No deadlock, also not of one thread: either may end at any time, and the other must come to
 * its end. With LIVE, under weak fairness: a toucher does not wait for operations for ever, however many there are.
 *
 * trans(page, FROM, event, TO) is one of CDM_TRANSITIONS (offload/mem/transit.h). model.sh compares the table with
 * what is written here and with what was reached. MUTANT=n breaks the protocol on purpose, each as model.sh says: all
 * must be caught.
 *
 * Not modelled: generations (the region at hand ends under an evictor, who is refused), thrash, mappings that refuse.
 */

#define MOVE 0
#define REMAP 1
#ifndef MECHANISM
#define MECHANISM MOVE
#endif
#ifndef REGIONS
#define REGIONS 2
#endif
#ifndef CAPACITY
#define CAPACITY 1
#endif
#ifndef MUTANT
#define MUTANT 0
#endif

#define PAGES 2
#define region(p) ((p) * REGIONS / PAGES)

/* state[] */
#define HOST 0
#define SHARED 1
#define DEVICE 2
#define MOVING 3

/* cpu[]: what a touch of the page meets. HOLE: no memory yet, zeros; a fault of ours when the region is armed. */
#define MISSING 0
#define READ 1
#define WRITE 2
#define HOLE 3

byte state[PAGES];
byte cpu[PAGES] = WRITE;
bool host_fresh[PAGES] = true;
bool frame_fresh[PAGES]; /* the frame that is about to be installed */
bool on_device[PAGES];   /* the device has memory for the page, charged */
bool device_fresh[PAGES];
byte charged;

byte busy[REGIONS];   /* operations that use it */
bool moving[REGIONS]; /* a mover works on it */
byte wanted[REGIONS]; /* touchers that wait for busy == 0 */
byte pins[REGIONS];
bool armed[REGIONS];
bool move_lock;
bool gate_closed;
byte in_flight; /* operations, from the gate to their end */
bool offline;
bool failed;  /* one step of a mover or one operation fails, at any one moment */
byte used[REGIONS]; /* by the program: memory in use is not freed (that would be the program's mistake) */
#define FREEING 9

/* ---- sets of pages and of regions: bit n is page or region n ---- */

#define ALL 3
#define has(set, i) (((set) >> (i)) & 1)
#if REGIONS == 1
#define pages_of(r) ALL
#define regions_of(set) 1
#define idle(set) (busy[0] == 0)
#define each(array, set, change) array[0] = array[0] change
#else
#define pages_of(r) (1 << (r))
#define regions_of(set) (set)
#define idle(set) ((!has(set, 0) || busy[0] == 0) && (!has(set, 1) || busy[1] == 0))
#define each(array, set, change)                                                                                       \
	d_step {                                                                                                       \
		array[0] = (has(set, 0) -> array[0] change : array[0]);                                                \
		array[1] = (has(set, 1) -> array[1] change : array[1])                                                 \
	}
#endif
#define resident(r) (REGIONS == 1 -> on_device[0] + on_device[1] : on_device[r])

/* ---- the steps ---- */

#ifdef REACHED /* each transition that is taken is printed once */
c_decl {
	\#include <stdio.h>
	\#include <string.h>
	static const char *taken_names[32];
	static void taken(const char *name)
	{
		int i = 0;
		for (; taken_names[i]; i++)
			if (!strcmp(taken_names[i], name))
				return;
		taken_names[i] = name;
		printf("reached %s\n", name);
	}
}
#define trans(p, from, event, to)                                                                                      \
	d_step {                                                                                                       \
		assert(state[p] == from);                                                                              \
		c_code { taken(#from " " #event " " #to); };                                                           \
		state[p] = to                                                                                          \
	}
#else
#define trans(p, from, event, to)                                                                                      \
	d_step {                                                                                                       \
		assert(state[p] == from);                                                                              \
		state[p] = to                                                                                          \
	}
#endif

/* Under LIVE, whoever had the lock last lets the other go first: the real one is not fair, but not unfair for ever. */
#ifdef LIVE
bool queued[2];
byte last;
#define lock_take                                                                                                      \
	queued[me] = true;                                                                                             \
	atomic {                                                                                                       \
		!move_lock && (last != me || !queued[1 - me]) -> move_lock = true;                                     \
		queued[me] = false;                                                                                    \
		last = me                                                                                              \
	}
#else
#define lock_take atomic { !move_lock -> move_lock = true }
#endif
#define lock_drop move_lock = false

inline fresh_host(p)
{
	host_fresh[p] = true;
	device_fresh[p] = false;
	frame_fresh[p] = false
}

inline fresh_device(p)
{
	host_fresh[p] = false;
	device_fresh[p] = true;
	frame_fresh[p] = false
}

inline charge(p)
{
	d_step {
		assert(!on_device[p]);
		on_device[p] = true;
		charged++
	}
}

inline discharge(p)
{
	d_step {
		assert(on_device[p]);
		on_device[p] = false;
		device_fresh[p] = false;
		charged--
	}
}

inline drop_host(p)
{
	d_step {
		cpu[p] = MISSING;
		host_fresh[p] = false
	}
}

/* ---- movers: the move lock is held and the region is claimed ---- */

/* Page p to the device, for an operation that writes it (w) or only reads it. Sets bad when it does not go. */
inline move_out(p, w)
{
	if
	:: state[p] == DEVICE || (state[p] == SHARED && !(w)) -> skip
	:: state[p] == SHARED && (w) ->
#if MUTANT == 12
		trans(p, SHARED, acquire_w, DEVICE); /* early: an operation that comes by takes it for done */
		if
		:: atomic { !failed -> failed = true };
			trans(p, DEVICE, acquire_w_undone, SHARED);
			bad = true
		:: drop_host(p)
		fi
#else
		trans(p, SHARED, acquire_w, MOVING);
		if
		:: atomic { !failed -> failed = true };
			trans(p, MOVING, refused_w, SHARED);
			bad = true
		:: drop_host(p);
			trans(p, MOVING, arrived, DEVICE)
		fi
#endif
	:: state[p] == HOST ->
		charge(p);
		trans(p, HOST, acquire, MOVING);
#if MUTANT == 1
		device_fresh[p] = host_fresh[p];
#endif
#if MECHANISM == MOVE
		cpu[p] = (cpu[p] == HOLE -> HOLE : MISSING); /* taken out of the way */
		if
		:: !(w) -> cpu[p] = WRITE; cpu[p] = READ     /* put back, then protected */
		:: else
		fi;
#else
		cpu[p] = READ;
#endif
#if MUTANT != 1
		device_fresh[p] = host_fresh[p];
#endif
		if
		:: atomic { !failed -> failed = true };
			cpu[p] = (cpu[p] == HOLE -> HOLE : WRITE);
			trans(p, MOVING, refused, HOST);
			discharge(p);
			bad = true
		:: !(w) ->
			trans(p, MOVING, copied, SHARED)
		:: (w) ->
			drop_host(p);
			trans(p, MOVING, arrived, DEVICE)
		fi
	fi
}

/* Page p comes home; the device keeps its copy if keep and the mechanism can. Sets bad when it does not go. */
inline move_home(p, keep)
{
	if
	:: state[p] == HOST || (state[p] == SHARED && (keep)) -> skip
	:: state[p] == SHARED && !(keep) ->
#if MUTANT == 10
		cpu[p] = WRITE; /* the device's copy stays, as if it were valid */
#else
		trans(p, SHARED, reopen, HOST);
		if
		:: atomic { !failed -> failed = true };
			trans(p, HOST, reopen_undone, SHARED);
			bad = true
		:: cpu[p] = WRITE;
			discharge(p)
		fi
#endif
	:: state[p] == DEVICE ->
		trans(p, DEVICE, recall, MOVING);
		frame_fresh[p] = device_fresh[p];
		if
		:: atomic { !failed -> failed = true };
			frame_fresh[p] = false;
			trans(p, MOVING, stuck, DEVICE);
			bad = true
		:: (keep) && MECHANISM == REMAP ->
			install(p, READ);
			trans(p, MOVING, home_shared, SHARED)
		:: !((keep) && MECHANISM == REMAP) ->
#if MUTANT == 2
			trans(p, MOVING, home, HOST);
			install(p, WRITE);
#else
			install(p, WRITE);
			trans(p, MOVING, home, HOST);
#endif
			discharge(p)
		fi
	fi
}

inline install(p, access)
{
	d_step {
		host_fresh[p] = frame_fresh[p];
		frame_fresh[p] = false;
		cpu[p] = access
	}
}

/* The memory is about to be freed: what it holds does not matter, so whatever is there counts as right. */
inline move_drop(p)
{
	if
	:: state[p] == DEVICE ->
		host_fresh[p] = true;
		trans(p, DEVICE, drop, HOST);
		cpu[p] = (MECHANISM == MOVE -> HOLE : WRITE);
		discharge(p)
	:: else -> move_home(p, false)
	fi
}

/* The end of a mover's work on regions: those of which the device has nothing are no longer watched. */
inline settle(set)
{
	if
	:: has(set, 0) && resident(0) == 0 -> armed[0] = false
	:: else
	fi;
#if REGIONS == 2
	if
	:: has(set, 1) && resident(1) == 0 -> armed[1] = false
	:: else
	fi
#endif
}

/* ---- the threads ---- */

/* What a thread is about. */
#define TOUCH 0  /* its own access to page p */
#define KERNEL 1 /* the kernel's, under a pin */
#define CHANGE 2 /* munmap, mprotect, MADV_DONTNEED: nothing may be away */
#define FORK 3
#define OFFLINE 4
#define EVICT 5

#define may(p, w)                                                                                                      \
	(cpu[p] == WRITE || (cpu[p] == READ && !(w)) || (cpu[p] == HOLE && (MECHANISM == REMAP || !armed[region(p)])))
#define usable(p, w) (state[p] == DEVICE || (state[p] == SHARED && !(w)))
#define span_usable(w) ((!has(span, 0) || usable(0, w)) && (!has(span, 1) || usable(1, w)))
#define missing (has(span, 0) * (1 - on_device[0]) + has(span, 1) * (1 - on_device[1]))

#define waits (job == TOUCH || job == KERNEL || job == CHANGE) /* for operations to end */

bool waiting[2];

/* The access itself: what it meets is right. */
inline host_access(p, w)
{
	assert(host_fresh[p]);
	cpu[p] = (cpu[p] == HOLE -> WRITE : cpu[p]);
	if
	:: (w) -> fresh_host(p)
	:: else
	fi
}

proctype thread(byte me)
{
	byte job;
	byte p;       /* the page, or the first of an operation */
	bool w;       /* it is written */
	bool two;     /* the operation reads p and writes the other page */
	bool gone;    /* CHANGE: the memory is freed */
	byte n;       /* operands held */
	byte at;      /* the operand at hand */
	bool write_at;
	byte span;    /* the pages that move with it */
	byte set;     /* pages to be brought home */
	bool keep;    /* the device may keep its copies */
	bool bad;
	byte v;       /* a region that may go */

next:
	skip;
	d_step {
		job = 0; p = 0; w = false; two = false; gone = false; n = 0; at = 0; write_at = false; span = 0; set = 0;
		keep = false; bad = false; v = 0
	};
	if
	:: goto end
	:: job = TOUCH; goto pick
	:: goto operation
#ifndef LIVE
	:: job = KERNEL; goto pick
	:: atomic { job = FORK; set = ALL; keep = true }; goto close
	:: atomic { !offline -> offline = true; job = OFFLINE; set = ALL }; goto close
	:: atomic { job = EVICT; set = pages_of(0) }; goto lock
	:: atomic { job = CHANGE; p = 0 }; goto change
	:: atomic { used[0] == 0 -> used[0] = FREEING; job = CHANGE; gone = true; p = 0 }; goto change
#if REGIONS == 2
	:: atomic { job = EVICT; set = pages_of(1) }; goto lock
	:: atomic { job = CHANGE; p = 1 }; goto change
	:: atomic { used[1] == 0 -> used[1] = FREEING; job = CHANGE; gone = true; p = 1 }; goto change
#endif
#endif
	fi;

pick:
	atomic {
		if
		:: used[region(0)] < FREEING -> p = 0
		:: used[region(1)] < FREEING -> p = 1
		fi;
		used[region(p)]++;
		if
		:: w = false
		:: w = true
		fi
	};
	if
	:: job == TOUCH -> goto touch
	:: else
	fi;

	/* a system call with a buffer in page p: pinned, then brought home, then used by the kernel for a while */
#if MUTANT == 5
	!moving[region(p)];
	pins[region(p)]++;
#else
pin:
	pins[region(p)]++;
	if
	:: moving[region(p)] ->
		pins[region(p)]--;
		!moving[region(p)];
		goto pin
	:: else
	fi;
#endif
	if
	:: armed[region(p)] -> atomic { set = 1 << p; keep = !w }; goto home
	:: else
	fi;
kernel:
	atomic {
		assert(may(p, w)); /* else: EFAULT */
		host_access(p, w)
	};
	atomic {
		assert(may(p, w));
		host_access(p, w);
		pins[region(p)]--;
		used[region(p)]--
	};
	goto next;

	/* munmap and the like: under the map lock nothing of the region is away or watched, and nothing can leave */
change:
	if
	:: atomic {
			!moving[region(p)] && !armed[region(p)] ->
			assert(state[p] == HOST && !on_device[p]);
			if
			:: gone ->
				used[region(p)] = 0;
				if
				:: has(pages_of(region(p)), 0) -> fresh_host(0); cpu[0] = (MECHANISM == MOVE -> HOLE : WRITE)
				:: else
				fi;
				if
				:: has(pages_of(region(p)), 1) -> fresh_host(1); cpu[1] = (MECHANISM == MOVE -> HOLE : WRITE)
				:: else
				fi
			:: else -> /* MADV_DONTNEED: zeros from now on */
				fresh_host(p);
				cpu[p] = (MECHANISM == MOVE -> HOLE : WRITE)
			fi
		};
		goto next
	:: !moving[region(p)] && armed[region(p)] -> set = pages_of(region(p))
	fi;
	goto home;

touch:
	if
	:: atomic {
			may(p, w) ->
			host_access(p, w);
			used[region(p)]--
		};
		goto next
	:: !may(p, w)
	fi;
	/* the fault: the page, and perhaps the rest of its region, comes home */
	atomic {
		if
		:: set = 1 << p
		:: set = pages_of(region(p))
		fi;
		keep = !w
	};

	/* ---- bringing home: set, keep ---- */
home:
	skip;
#if MUTANT != 9
	each(wanted, regions_of(set), + 1);
#endif
	waiting[me] = true;
wait:
#if MUTANT != 8
	idle(regions_of(set));
#endif
lock:
	lock_take;
#if MUTANT == 8
	(!waits || idle(regions_of(set)));
#endif
	each(moving, regions_of(set), | 1);
#if MUTANT == 3
	if
	:: job != EVICT || pins[0] + pins[REGIONS - 1] == 0
	:: else -> goto unclaim
	fi;
#else
	if
	:: job == EVICT && (!idle(regions_of(set)) || pins[(set >> 1) * (REGIONS - 1)] > 0) -> goto unclaim
	:: waits && !idle(regions_of(set)) ->
		each(moving, regions_of(set), & 0);
		lock_drop;
		goto wait
	:: else
	fi;
#endif
	waiting[me] = false;
	bad = false;
	if
	:: gone ->
		if
		:: has(set, 0) -> move_drop(0)
		:: else
		fi;
		if
		:: has(set, 1) -> move_drop(1)
		:: else
		fi
	:: job == TOUCH && (state[p] == HOST || (state[p] == SHARED && !w)) -> skip /* others were faster, or a hole */
	:: else ->
		if
		:: has(set, 0) -> move_home(0, keep)
		:: else
		fi;
		if
		:: has(set, 1) -> move_home(1, keep)
		:: else
		fi
	fi;
	if
	:: (job == TOUCH || job == KERNEL) && cpu[p] == HOLE -> cpu[p] = WRITE /* filled with zeros */
	:: else
	fi;
	settle(regions_of(set));
	if
	:: job == FORK && !bad ->
		/* the child's copy of the address space */
		assert(cpu[0] != MISSING && host_fresh[0] && cpu[1] != MISSING && host_fresh[1])
	:: else
	fi;
unclaim:
	skip;
	each(moving, regions_of(set), & 0);
	lock_drop;
	if
	:: bad && waits -> goto wait
	:: bad && (job == FORK || job == OFFLINE) -> goto lock
	:: else
	fi;
#if MUTANT != 9
	if
	:: waits -> each(wanted, regions_of(set), - 1)
	:: else
	fi;
#endif
	if
	:: job == TOUCH -> goto touch
	:: job == KERNEL -> goto kernel
	:: job == CHANGE -> goto change
	:: job == OFFLINE ->
		gate_closed = false;
		assert(charged == 0 && state[0] == HOST && state[1] == HOST);
		offline = false
	:: job == FORK -> gate_closed = false
	:: else
	fi;
	goto next;

	/* fork and offline: no operation runs, and none begins */
close:
	atomic { !gate_closed -> gate_closed = true };
#if MUTANT != 11
	in_flight == 0;
#endif
	goto lock;

	/* ---- a device operation ---- */
operation:
	atomic {
		if
		:: used[region(0)] < FREEING && used[region(1)] < FREEING -> two = true
		:: used[region(0)] < FREEING -> p = 0
		:: used[region(1)] < FREEING -> p = 1
		fi;
		if
		:: two -> used[region(0)]++; used[region(1)]++;
			if
			:: p = 0
			:: p = 1
			fi
		:: else -> used[region(p)]++;
			if
			:: w = false
			:: w = true
			fi
		fi;
		at = p;
		write_at = w
	};
#if MUTANT == 6
	bad = offline;
#endif
enter:
	in_flight++;
	if
	:: gate_closed -> in_flight--; !gate_closed; goto enter
	:: else
	fi;
#if MUTANT != 6
	bad = offline;
#endif
	if
	:: bad -> goto declined
	:: else
	fi;
acquire:
	atomic {
		if
		:: span = 1 << at
		:: REGIONS == 1 -> span = ALL
		fi
	};
	if
	:: wanted[region(at)] > 0 -> goto declined
	:: else
	fi;
#if MUTANT == 4
	if
	:: moving[region(at)] -> busy[region(at)]++; n++; goto fetch
	:: else
	fi;
	if
	:: span_usable(write_at) -> busy[region(at)]++; n++; goto acquired
	:: else -> busy[region(at)]++; n++
	fi;
#else
	busy[region(at)]++;
	n++;
	if
	:: moving[region(at)] -> goto fetch
	:: else
	fi;
	if
	:: span_usable(write_at) -> goto acquired
	:: else
	fi;
#endif
fetch:
	lock_take;
	moving[region(at)] = true;
	if
	:: pins[region(at)] > 0 -> bad = true
	:: else
	fi;
	if
	:: !bad && charged + missing > CAPACITY ->
		/* no room: the other region goes, if there is one and nobody uses it */
		v = REGIONS - 1 - region(at);
		if
		:: v == region(at) || busy[v] > 0 -> bad = true
		:: else ->
			moving[v] = true;
			if
			:: busy[v] > 0 || pins[v] > 0 -> bad = true
			:: else ->
				move_home(v, false);
				settle(1 << v)
			fi;
			moving[v] = false
		fi;
#if MUTANT != 13
		if
		:: charged + missing > CAPACITY -> bad = true
		:: else
		fi
#else
		bad = false
#endif
	:: else
	fi;
	if
	:: bad -> goto fetched
	:: else
	fi;
	armed[region(at)] = true;
	if
	:: has(span, 0) -> move_out(0, write_at)
	:: else
	fi;
	if
	:: has(span, 1) && !bad -> move_out(1, write_at)
	:: else
	fi;
	settle(regions_of(1 << at));
fetched:
	moving[region(at)] = false;
	lock_drop;
	if
	:: bad -> goto declined
	:: else
	fi;
acquired:
	if
	:: two && n == 1 ->
		at = 1 - p;
		write_at = true;
		goto acquire
	:: else
	fi;

	/* it runs: reads all operands, writes one, and takes its time */
	assert(device_fresh[p] && device_fresh[at] && (!write_at || state[at] == DEVICE));
	if
	:: write_at ->
		d_step { fresh_device(at) }
	:: else
	fi;
	atomic {
		assert(device_fresh[p] && device_fresh[at] && (!write_at || state[at] == DEVICE));
		if
		:: write_at -> fresh_device(at)
		:: else
		fi
	};
	busy[region(at)]--;
	if
	:: two -> busy[region(p)]--
	:: else
	fi;
	goto leave;

	/* refused: all is let go, and what was refused is staged, or the call runs on the host: it touches the pages */
declined:
#if MUTANT != 7
	if
	:: n == 0
	:: n == 1 -> busy[region(p)]--
	:: n == 2 -> busy[region(at)]--; busy[region(p)]--
	fi;
#endif
	atomic {
		in_flight--;
		if
		:: two -> used[region(1 - at)]--
		:: else
		fi;
		p = at;
		w = write_at;
		two = false;
		n = 0;
		span = 0;
		bad = false
	};
	goto touch;
leave:
	atomic {
		in_flight--;
		used[region(at)]--;
		if
		:: two -> used[region(p)]--
		:: else
		fi
	};
	goto next;
end:
	skip
}

#define whole(p) (host_fresh[p] || device_fresh[p] || frame_fresh[p])
/* Settled states hold at all times; HOST's last steps (the device's memory goes, the page is opened) are under the claim.
 */
#define host_settled(p) (host_fresh[p] && (moving[region(p)] || (!on_device[p] && (cpu[p] == WRITE || cpu[p] == HOLE))))
#define shared_settled(p) (cpu[p] == READ && host_fresh[p] && on_device[p] && device_fresh[p])
#define device_settled(p) (cpu[p] == MISSING && on_device[p] && device_fresh[p])
#define agrees(p)                                                                                                      \
	((state[p] == HOST && host_settled(p)) || (state[p] == SHARED && shared_settled(p)) ||                         \
	 (state[p] == DEVICE && device_settled(p)) ||                                                                  \
	 (state[p] == MOVING && moving[region(p)] && (cpu[p] == MISSING || host_fresh[p])))

active proctype monitor()
{
end:
	if
	:: atomic { !(whole(0) && whole(1)) -> assert(false) } /* a write is lost */
	:: atomic { !(agrees(0) && agrees(1)) -> assert(false) }
	:: atomic { charged > CAPACITY -> assert(false) }
	fi
}

init
{
	atomic {
		run thread(0);
		run thread(1)
	}
}

#ifdef LIVE
ltl goes_on { ([] (waiting[0] -> <> !waiting[0])) && ([] (waiting[1] -> <> !waiting[1])) }
#endif
