#include "offload/mem/claim.h"

#include <limits.h>

#include "offload/base/lock.h"
#include "offload/base/quiet.h"
#include "offload/mem/device.h"
#include "offload/mem/pin.h"

static cdm_lock move_lock;

void cdm_move_enter(uint64_t *mask)
{
	cdm_quiet_enter(mask);
	cdm_lock_take(&move_lock);
}

void cdm_move_leave(const uint64_t *mask)
{
	cdm_lock_drop(&move_lock);
	cdm_quiet_leave(mask);
}

void cdm_move_reset(const uint64_t *mask)
{
	cdm_lock_reset(&move_lock);
	cdm_quiet_leave(mask);
}

static void region_moving(struct cdm_region *r, bool on)
{
	atomic_store(&r->moving, on);
	if (!on)
		cdm_futex_wake(&r->moving, INT_MAX);
}

/* The calling thread's stack or thread block lies in r (a coroutine, pthread_attr_setstack): the mover would take
 * away the ground it stands on. */
static bool runs_on(const struct cdm_region *r)
{
	uintptr_t stack = (uintptr_t)__builtin_frame_address(0), thread = (uintptr_t)__builtin_thread_pointer();

	return (stack >= r->base && stack < cdm_region_end(r)) || (thread >= r->base && thread < cdm_region_end(r));
}

static bool pinned(const struct cdm_region *r)
{
	return cdm_pins_needed && cdm_pinned(r->base, cdm_region_end(r));
}

/* r is marked. */
static bool forbidden(const struct cdm_region *r, enum cdm_claim purpose)
{
	switch (purpose) {
	case CDM_CLAIM_OUT:
		return pinned(r) || r->kept;
	case CDM_CLAIM_EVICT:
		return atomic_load(&r->busy) > 0 || pinned(r);
	case CDM_CLAIM_IDLE:
		if (atomic_load(&r->busy) > 0)
			return true;
		break;
	default:
		break;
	}
	/* A mover changes the frames under whoever uses them, either way; a guard only lets the CPU in. */
	return cdm_device.mem->coherent && pinned(r);
}

bool cdm_claim(struct cdm_region *r, uint32_t generation, enum cdm_claim purpose)
{
	uint64_t mask;

	if (cdm_map_frozen)
		return false;
	cdm_map_enter(&mask);
	bool ok = atomic_load(&r->generation) == generation && cdm_region_live(r) &&
		  ((purpose >= CDM_CLAIM_IDLE && !cdm_device.mem->coherent) || (!runs_on(r) && !r->tainted));
	if (ok)
		atomic_store(&r->moving, 1);
	if (ok && forbidden(r, purpose)) {
		region_moving(r, false);
		ok = false;
	}
	cdm_map_leave(&mask);
	return ok;
}

void cdm_unclaim(struct cdm_region *r)
{
	uint64_t mask;

	cdm_map_enter(&mask);
	region_moving(r, false);
	cdm_map_leave(&mask);
}
