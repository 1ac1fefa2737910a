#include "offload/op/inflight.h"

#include <stdatomic.h>

#include "offload/base/lock.h"
#include "offload/base/stats.h"

/* A fork waits this long for operations. One that has not ended by then was left by longjmp, or waits for a lock that
 * the forking thread holds: the fork goes on, and the child computes on the host. */
#define GATE_PATIENCE_NS 10000000000ull

static _Atomic int in_flight, gate_closed;
static __thread int in_flight_here;
static int given_up;            /* operations that a fork has waited for in vain; guarded by the gate */
static __thread bool gate_mine; /* this thread closed it */

void cdm_inflight_leave(void)
{
	atomic_fetch_sub(&in_flight, 1);
	in_flight_here--; /* after: a handler that forks in between must not wait for itself */
	if (atomic_load(&gate_closed))
		cdm_futex_wake(&in_flight, INT_MAX);
}

void cdm_inflight_enter(void)
{
	for (;;) {
		in_flight_here++;
		atomic_fetch_add(&in_flight, 1);
		/* A handler of a thread that forks, or that is in an operation, must not wait for its own thread. */
		if (!atomic_load(&gate_closed) || gate_mine || in_flight_here > 1)
			return;
		cdm_inflight_leave();
		cdm_futex_wait(&gate_closed, 1);
	}
}

/* Signals wait: a handler that forks would find the gate closed by nobody it knows. */
static bool gate_try(void)
{
	int open = 0;
	uint64_t mask;

	cdm_sys_block_all(&mask);
	gate_mine = atomic_compare_exchange_strong(&gate_closed, &open, 1);
	cdm_sys_unblock(&mask);
	return gate_mine;
}

void cdm_inflight_close(void)
{
	cdm_inflight_close_within(GATE_PATIENCE_NS);
}

void cdm_inflight_close_within(uint64_t ns)
{
	int seen;

	if (gate_mine)
		return;
	while (!gate_try()) /* another thread forks */
		cdm_futex_wait(&gate_closed, 1);
	uint64_t begun = cdm_now_ns();
	while ((seen = atomic_load(&in_flight)) > in_flight_here + given_up && cdm_now_ns() - begun < ns)
		cdm_futex_wait_ms(&in_flight, seen, 100);
	given_up = seen > in_flight_here ? seen - in_flight_here : 0; /* the next fork does not wait for these again */
}

bool cdm_inflight_drained(void)
{
	return atomic_load(&in_flight) == 0;
}

void cdm_inflight_open(void)
{
	uint64_t mask;

	cdm_sys_block_all(&mask);
	gate_mine = false;
	atomic_store(&gate_closed, 0);
	cdm_sys_unblock(&mask);
	cdm_futex_wake(&gate_closed, INT_MAX);
}

void cdm_inflight_child(void)
{
	gate_mine = false;
	atomic_store(&in_flight, in_flight_here);
	atomic_store(&gate_closed, 0);
}
