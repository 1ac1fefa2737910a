/* Advice and protection: whole pages of a block, in the middle of it. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/soak/soak.h"

void advise(struct thread *t, struct block *b)
{
	size_t at, n;

	if (b->words < 1 << 17 || !pages_in(t, b, &at, &n))
		return; /* a block of libc's heap may share its pages */
	switch (draw(t) % 6) {
	case 0:
	case 1:
		did(t, b, "dontneed");
		*layer_add(b) = (struct layer){.what = ZEROS, .at = at, .count = n};
		if (madvise(&b->p[at], n * 8, MADV_DONTNEED))
			wrong(t, b, "MADV_DONTNEED: %s", strerror(errno));
		break;
	case 2:
		did(t, b, "madv-free");
		if (!madvise(&b->p[at], n * 8, MADV_FREE)) {
			*layer_add(b) = (struct layer){.what = RANGE, .at = at, .count = n, .seed = b->seed ^ 1};
			for (size_t i = 0; i < n; i++)
				b->p[at + i] = pattern(b->seed ^ 1, i);
		}
		break;
	case 3:
		did(t, b, "hugepage");
		madvise(&b->p[at], n * 8, one_in(t, 2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		break;
	default: {
		static const int advice[] = {CDM_MADV_DEVICE, CDM_MADV_HOST, CDM_MADV_PIN, CDM_MADV_UNPIN,
					     CDM_MADV_UNPIN};
		did(t, b, "cdm-advice");
		madvise(&b->p[at], n * 8, advice[below(t, 5)]);
		if (cdm_prefetch && one_in(t, 2))
			cdm_prefetch(&b->p[at], n * 8, one_in(t, 2) ? CDM_TO_DEVICE : CDM_TO_HOST);
	}
	}
	check_some(t, b);
}

void protect(struct thread *t, struct block *b)
{
	size_t at, n;

	if (b->words < 1 << 17 || !pages_in(t, b, &at, &n))
		return;
	bool none = one_in(t, 2);
	did(t, b, none ? "protect-none" : "protect-read");
	if (mprotect(&b->p[at], n * 8, none ? PROT_NONE : PROT_READ)) {
		wrong(t, b, "mprotect: %s", strerror(errno));
		return;
	}
	if (!none)
		check_range(t, b, at, at + n < at + 600 ? at + n : at + 600);
	if (!none && !b->layers)
		compute_with(t, b); /* as an input only */
	if (mprotect(&b->p[at], n * 8, PROT_READ | PROT_WRITE))
		wrong(t, b, "mprotect back: %s", strerror(errno));
	did(t, b, "protect-back");
	check_some(t, b);
	write_some(t, b);
}
