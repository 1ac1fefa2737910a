#include "offload/op/stage.h"

#include <errno.h>

#include "offload/base/lock.h"
#include "offload/base/stats.h"
#include "offload/mem/device.h"
#include "offload/mem/residency.h"
#include "offload/op/operand.h"

#define KEPT 16       /* free buffers */
#define KEPT_SHARE 4u /* of them, at most this fraction of the capacity */

static cdm_lock lock; /* guards the three below; a leaf: nothing is called with it held but the device's account */
static struct {
	void *buffer;
	size_t len;
} kept[KEPT];
static int kept_n;
static size_t kept_bytes;

static void buffer_free(void *buffer, size_t len)
{
	cdm_device.mem->unreserve(buffer, len);
	cdm_device.mem->discharge(len);
}

static void *kept_take(size_t len)
{
	void *p = NULL;

	cdm_lock_take(&lock);
	for (int i = 0; i < kept_n && !p; i++) {
		if (kept[i].len != len)
			continue;
		p = kept[i].buffer;
		kept[i] = kept[--kept_n];
		kept_bytes -= len;
	}
	cdm_lock_drop(&lock);
	return p;
}

static bool kept_put(void *p, size_t len)
{
	cdm_lock_take(&lock);
	bool ok = kept_n < KEPT && kept_bytes + len <= cdm_device.mem->capacity() / KEPT_SHARE;
	if (ok) {
		kept[kept_n].buffer = p;
		kept[kept_n++].len = len;
		kept_bytes += len;
	}
	cdm_lock_drop(&lock);
	return ok;
}

void cdm_stage_trim(void)
{
	cdm_lock_take(&lock);
	while (kept_n > 0) {
		kept_n--;
		buffer_free(kept[kept_n].buffer, kept[kept_n].len);
	}
	kept_bytes = 0;
	cdm_lock_drop(&lock);
}

/* Half-octave sizes, so that buffers are found again. */
static size_t buffer_size(size_t bytes)
{
	size_t len = CDM_PAGE;

	while (len < bytes)
		len = len + len / 2 >= bytes && len >= 2 * CDM_PAGE ? cdm_round_up(len + len / 2, CDM_PAGE) : len * 2;
	return len;
}

static int charge(size_t len, const struct cdm_policy *policy)
{
	if (!cdm_device.mem->charge(len))
		return 0;
	cdm_stage_trim();
	if (!cdm_device.mem->charge(len))
		return 0;
	int r = cdm_residency_make_room(len, policy);
	return r ? r : cdm_device.mem->charge(len);
}

static int buffer_new(size_t len, const struct cdm_policy *policy, void **p)
{
	int r = charge(len, policy);

	if (r)
		return r;
	r = cdm_device.mem->reserve(len, p);
	if (!r) {
		r = cdm_device.mem->commit(*p, len);
		if (r)
			cdm_device.mem->unreserve(*p, len);
	}
	if (r)
		cdm_device.mem->discharge(len);
	return r;
}

/* Kept free in front of a vector, and behind everything together with one column: kernels load whole registers and use
 * half of them, or the element after the last (OpenBLAS 0.3.21's zdotc reads the 16 bytes in front of a vector of increment
 * -1, its zgemv one leading dimension too far), which must not be the end of mapped memory. */
#define MARGIN 256

int cdm_stage_in(struct cdm_stage *s, const struct cdm_operand *o, const struct cdm_policy *policy)
{
	size_t margin = o->rows == 1 ? MARGIN : 0, column = (size_t)o->rows * o->elem;

	s->len = buffer_size(margin + cdm_operand_bytes(o) + column + MARGIN);
	s->buffer = kept_take(s->len);
	int r = s->buffer ? 0 : buffer_new(s->len, policy, &s->buffer);
	if (r) {
		s->buffer = NULL;
		return r;
	}
	s->device = *o;
	s->device.base = (char *)s->buffer + margin;
	s->device.ld = o->rows;
	if (o->access & CDM_R && !o->scratch) {
		r = cdm_operand_copy(&s->device, o, cdm_device.mem->copy_out);
		cdm_count(&cdm_stats.to_device, cdm_operand_bytes(o));
		cdm_count(&cdm_stats.staged, cdm_operand_bytes(o));
	}
	if (r)
		cdm_stage_drop(s);
	return r;
}

int cdm_stage_out(const struct cdm_stage *s, const struct cdm_operand *o)
{
	if (!(o->access & CDM_W))
		return 0;
	if (o->scratch) /* but for its first element, where LAPACK reports how much it would like to have */
		return cdm_device.mem->copy_home(o->base, s->device.base, o->elem);
	int r = cdm_operand_copy(o, &s->device, cdm_device.mem->copy_home);
	cdm_count(&cdm_stats.to_host, cdm_operand_bytes(o));
	cdm_count(&cdm_stats.staged, cdm_operand_bytes(o));
	return r;
}

void cdm_stage_drop(struct cdm_stage *s)
{
	if (s->buffer && !kept_put(s->buffer, s->len))
		buffer_free(s->buffer, s->len);
	s->buffer = NULL;
}

void cdm_stage_after_fork(void)
{
	cdm_lock_reset(&lock);
}
