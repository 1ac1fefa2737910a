#include "offload/op/snapshot.h"

#include <errno.h>
#include <string.h>

#include "offload/base/sys.h"
#include "offload/mem/device.h"
#include "offload/op/operand.h"

/* The copy of o, packed. */
static struct cdm_operand packed(const struct cdm_snapshot *s, const struct cdm_operand *o)
{
	struct cdm_operand p = *o;

	p.base = s->memory;
	p.ld = o->rows;
	return p;
}

int cdm_snapshot_take(struct cdm_snapshot *s, const struct cdm_operand *o)
{
	size_t len = cdm_round_up(cdm_operand_bytes(o), CDM_PAGE);

	if (!len)
		return 0;
	void *p = cdm_sys_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (cdm_sys_failed(p))
		return -ENOMEM;
	*s = (struct cdm_snapshot){p, len};
	struct cdm_operand to = packed(s, o);
	int r = cdm_operand_copy(&to, o, cdm_device.mem->copy_home);
	if (r)
		cdm_snapshot_drop(s);
	return r;
}

/* By the CPU: a device that has just failed is not asked for more. */
static int plain(void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
	return 0;
}

void cdm_snapshot_restore(const struct cdm_snapshot *s, const struct cdm_operand *o)
{
	if (!s->memory)
		return;
	struct cdm_operand from = packed(s, o);
	(void)cdm_operand_copy(o, &from, plain);
}

void cdm_snapshot_drop(struct cdm_snapshot *s)
{
	if (s->memory)
		cdm_sys_munmap(s->memory, s->len);
	s->memory = NULL;
}
