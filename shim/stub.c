/* A page of code and, behind it, a page of data, in steps of the same size: what belongs to a stub lies a page behind it. So
 * a page of stubs is written once, as a whole, and is never writable and executable at a time. */
#include "shim/stub.h"

#include <cpuid.h>
#include <string.h>

#include "offload/base/lock.h"
#include "offload/base/sys.h"

uint64_t cdm_xsave_bytes;

struct data {
	struct cdm_slot *slot;
	_Atomic(void *) original;
	void (*gate)(void);
	uint64_t unused;
};
#define STUB_BYTES 32
#define PER_PAGE (CDM_PAGE / STUB_BYTES)
_Static_assert(sizeof(struct data) == STUB_BYTES, "a page behind");

static cdm_lock lock;
static uint8_t *code;
static unsigned used;

/* endbr64; call *gate(%rip); jmp *original(%rip) */
static void write_stub(uint8_t *at)
{
	static const uint8_t begin[] = {0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x15}, jump[] = {0xff, 0x25};
	int32_t to_gate = CDM_PAGE + offsetof(struct data, gate) - 10;
	int32_t to_original = CDM_PAGE + offsetof(struct data, original) - 16;

	_Static_assert(CDM_STUB_SLOT == CDM_PAGE + offsetof(struct data, slot) - 10, "entry.S");
	memcpy(at, begin, sizeof(begin));
	memcpy(at + 6, &to_gate, sizeof(to_gate));
	memcpy(at + 10, jump, sizeof(jump));
	memcpy(at + 12, &to_original, sizeof(to_original));
}

/* The gate keeps every register that the system has switched on. False: it has no such instruction. */
static bool measure_registers(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !__get_cpuid_count(0xd, 0, &a, &b, &c, &d))
		return false;
	cdm_xsave_bytes = (b + 63) & ~63u;
	return b >= 512 + 64;
}

static bool new_page(void)
{
	if (!measure_registers())
		return false;
	uint8_t *p = cdm_sys_mmap(NULL, 2 * CDM_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (cdm_sys_failed(p))
		return false;
	for (unsigned i = 0; i < PER_PAGE; i++)
		write_stub(p + i * STUB_BYTES);
	if (cdm_sys_mprotect(p, CDM_PAGE, PROT_READ | PROT_EXEC)) {
		cdm_sys_munmap(p, 2 * CDM_PAGE);
		return false;
	}
	code = p;
	used = 0;
	return true;
}

void *cdm_stub_make(struct cdm_slot *slot)
{
	uint8_t *stub = NULL;

	cdm_lock_take(&lock);
	if ((code && used < PER_PAGE) || new_page()) {
		stub = code + used++ * STUB_BYTES;
		struct data *d = (struct data *)(stub + CDM_PAGE);
		d->slot = slot;
		d->gate = cdm_gate_made;
	}
	cdm_lock_drop(&lock);
	return stub;
}

void cdm_stub_aim(void *stub, void *original)
{
	struct data *d = (struct data *)((uint8_t *)stub + CDM_PAGE);

	atomic_store_explicit(&d->original, original, memory_order_release);
}

void cdm_stub_after_fork(void)
{
	cdm_lock_reset(&lock);
}
