#include "offload/mem/uffd.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "offload/base/descriptor.h"
#include "offload/base/sys.h"
#include "offload/mem/pages.h"

/* Newer than the headers of the oldest distribution supported (Linux 5.11 and 6.8 uapi). */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
struct cdm_uffdio_move {
	uint64_t dst, src, len, mode;
	int64_t move;
};
#define CDM_USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#define CDM_UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct cdm_uffdio_move)
#define CDM_UFFDIO_MOVE_HOLES 2 /* UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES */
#define CDM_UFFD_FEATURE_MOVE (1 << 16)

static int fd = -1;
static int owner; /* the process that opened it */
static bool full;
static enum cdm_uffd_mode mode_of; /* the open descriptor */

bool cdm_uffd_full(void)
{
	return full && mode_of != CDM_UFFD_SIGNALS;
}

int cdm_uffd_descriptor(void)
{
	return fd;
}

static int api(int to, enum cdm_uffd_mode mode)
{
	static const uint64_t features[] = {
		[CDM_UFFD_WAIT] = 0,
		[CDM_UFFD_SIGNALS] = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP,
		[CDM_UFFD_MESSAGES] = UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	uint64_t want = CDM_UFFD_FEATURE_MOVE | features[mode];

	struct uffdio_api a = {.api = UFFD_API, .features = want};
	int r = cdm_sys_ioctl(to, UFFDIO_API, &a);
	return r ? r : (a.features & want) == want ? 0 : -ENOSYS;
}

/* By /dev/userfaultfd, whose file mode decides who may have kernel faults (Linux 6.1). */
static int device_open(void)
{
	int dev = cdm_sys_open("/dev/userfaultfd", O_RDWR | O_CLOEXEC, 0);

	if (dev < 0)
		return dev;
	int to = (int)cdm_sys3(SYS_ioctl, dev, CDM_USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	cdm_sys_close(dev);
	return to;
}

static int descriptor_open(bool *kernel_faults)
{
	int to = (int)cdm_sys3(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0);

	if (to < 0 && to != -ENOSYS)
		to = device_open();
	*kernel_faults = to >= 0;
	if (to < 0)
		to = (int)cdm_sys3(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY, 0, 0);
	return to;
}

int cdm_uffd_probe(void)
{
	bool kernel_faults;
	int to = descriptor_open(&kernel_faults), r;

	if (to < 0)
		return to;
	r = api(to, CDM_UFFD_WAIT);
	cdm_sys_close(to);
	return r;
}

/* Moves a page there and looks at what arrived. */
static int prove(void)
{
	size_t moved, len = 2 * CDM_PAGE;
	char *p = cdm_sys_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (cdm_sys_failed(p))
		return -ENOMEM;
	p[0] = 42;
	int r = cdm_uffd_register((uintptr_t)p + CDM_PAGE, CDM_PAGE);
	if (!r)
		r = cdm_uffd_move((uintptr_t)p + CDM_PAGE, (uintptr_t)p, CDM_PAGE, &moved);
	if (!r && p[CDM_PAGE] != 42)
		r = -EIO;
	cdm_sys_munmap(p, len);
	return r;
}

int cdm_uffd_open(enum cdm_uffd_mode mode)
{
	if (fd >= 0)
		return 0;
	int low = descriptor_open(&full);
	if (low < 0)
		return low;
	fd = cdm_descriptor_raise(low);
	mode_of = mode;
	owner = cdm_sys_getpid();
	int r = mode == CDM_UFFD_MESSAGES && !full ? -EPERM : api(fd, mode);
	if (!r)
		r = prove();
	if (r)
		cdm_uffd_forget();
	return r;
}

void cdm_uffd_forget(void)
{
	if (fd >= 0)
		cdm_sys_close(fd);
	fd = -1;
}

void cdm_uffd_renumber(void)
{
	if (cdm_sys_getpid() != owner) /* a child of vfork, with descriptors of its own and its parent's memory */
		return;
	int to = fd < 0 ? -1 : (int)cdm_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, fd + 1), was = fd;

	if (to < 0 && fd >= 0) /* the limit */
		to = (int)cdm_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
	if (to < 0)
		return;
	fd = to;
	cdm_sys_close(was);
}

int cdm_uffd_register(uintptr_t addr, size_t len)
{
	uint64_t mode = UFFDIO_REGISTER_MODE_MISSING | (mode_of != CDM_UFFD_WAIT ? UFFDIO_REGISTER_MODE_WP : 0);
	struct uffdio_register r = {.range = {addr, len}, .mode = mode};
	int e = cdm_sys_ioctl(fd, UFFDIO_REGISTER, &r);

	if (e == -EBADF || e == -ENOTTY) /* the program closed it; the number may be another file's by now */
		fd = -1;
	return e;
}

void cdm_uffd_unregister(uintptr_t addr, size_t len)
{
	struct uffdio_range r = {addr, len};

	/* Near the limit of mappings it may be refused for a moment; a range that stays registered would put its next
	 * toucher to sleep. */
	for (int i = 0; i < 1000 && cdm_sys_ioctl(fd, UFFDIO_UNREGISTER, &r) == -ENOMEM; i++)
		cdm_sys_yield();
}

/* A range in two mappings is refused, and advice of the program's can split one at any page: tries a smaller step. */
static bool across(int r, size_t *step)
{
	if ((r != -ENOENT && r != -EINVAL) || *step <= CDM_PAGE)
		return false;
	*step = cdm_round_up(*step / 2, CDM_PAGE);
	return true;
}

/* Linux 6.18 (mm/userfaultfd.c, move_pages(), since moves are batched) keeps the -EAGAIN of one turn, where it split a huge page or
 * missed a lock, over the success of the next: pages have moved, are not counted, and are then met as holes or as pages in the way.
 * What is here no more, and there, has gone. */
static bool gone(uintptr_t dst, uintptr_t src)
{
	uint64_t here[8], there[8];

	return !cdm_pages_present(src, CDM_PAGE, here) && !cdm_pages_present(dst, CDM_PAGE, there) && !(here[0] & 1) &&
	       there[0] & 1;
}

/* by_halves: goes on behind a refusal with less at a time. */
static int move(uintptr_t dst, uintptr_t src, size_t len, uint64_t mode, bool by_halves, size_t *moved)
{
	size_t step = len;

	*moved = 0;
	while (*moved < len) {
		step = step < len - *moved ? step : len - *moved;
		struct cdm_uffdio_move m = {.dst = dst + *moved, .src = src + *moved, .len = step, .mode = mode};
		int r = cdm_sys_ioctl(fd, CDM_UFFDIO_MOVE, &m);
		if (m.move > 0)
			*moved += (size_t)m.move;
		else if ((r == -EEXIST || r == -ENOENT) && gone(dst + *moved, src + *moved))
			*moved += CDM_PAGE;
		else if (!by_halves || !across(r, &step))
			return r;
	}
	return 0;
}

int cdm_uffd_move(uintptr_t dst, uintptr_t src, size_t len, size_t *moved)
{
	return move(dst, src, len, 0, true, moved);
}

int cdm_uffd_move_straight(uintptr_t dst, uintptr_t src, size_t len, size_t *moved)
{
	return move(dst, src, len, 0, false, moved);
}

int cdm_uffd_move_around(uintptr_t dst, uintptr_t src, size_t len, size_t *moved)
{
	return move(dst, src, len, CDM_UFFDIO_MOVE_HOLES, true, moved);
}

int cdm_uffd_copy(uintptr_t dst, uintptr_t src, size_t len)
{
	size_t done = 0, step = len;

	while (done < len) {
		step = step < len - done ? step : len - done;
		struct uffdio_copy c = {.dst = dst + done, .src = src + done, .len = step};
		int r = cdm_sys_ioctl(fd, UFFDIO_COPY, &c);
		if (c.copy > 0)
			done += (size_t)c.copy;
		else if (r && r != -EAGAIN && !across(r, &step))
			return r;
	}
	return 0;
}

int cdm_uffd_protect(uintptr_t addr, size_t len, bool on)
{
	struct uffdio_writeprotect w = {.range = {addr, len}, .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
	int r;

	while ((r = cdm_sys_ioctl(fd, UFFDIO_WRITEPROTECT, &w)) ==
	       -EAGAIN) /* a mapping of this process changes just now */
		cdm_sys_yield();
	return r;
}

int cdm_uffd_zero(uintptr_t addr, size_t len, size_t *filled)
{
	size_t step = len;

	*filled = 0;
	while (*filled < len) {
		step = step < len - *filled ? step : len - *filled;
		struct uffdio_zeropage z = {.range = {addr + *filled, step}};
		int r = cdm_sys_ioctl(fd, UFFDIO_ZEROPAGE, &z);
		if (z.zeropage > 0)
			*filled += (size_t)z.zeropage;
		else if (r && r != -EAGAIN && !across(r, &step))
			return r;
	}
	return 0;
}

int cdm_uffd_next(struct cdm_touch *touch)
{
	struct uffd_msg m;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n = cdm_sys_read(fd, &m, sizeof(m));
		if (n == sizeof(m) && m.event == UFFD_EVENT_PAGEFAULT)
			break;
		if (n < 0 && n != -EAGAIN && n != -EINTR)
			return (int)n;
		cdm_sys6(SYS_ppoll, (long)&p, 1, 0, 0, 0, 0);
	}
	touch->addr = m.arg.pagefault.address;
	touch->write = m.arg.pagefault.flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	touch->tid = (int)m.arg.pagefault.feat.ptid;
	return 0;
}

void cdm_uffd_wake(uintptr_t addr)
{
	struct uffdio_range r = {cdm_round_down(addr, CDM_PAGE), CDM_PAGE};
	cdm_sys_ioctl(fd, UFFDIO_WAKE, &r);
}
