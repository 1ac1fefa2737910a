/* Kernel interfaces that are newer than the headers of the oldest distribution supported, and userfaultfd descriptors. */
#ifndef CDM_BENCH_KERNEL_H
#define CDM_BENCH_KERNEL_H

#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define UFFD_MOVE_FEATURE ((uint64_t)1 << 16)
#define UFFD_WP_ASYNC_FEATURE ((uint64_t)1 << 15)
struct uffd_move {
	uint64_t dst, src, len, mode;
	int64_t move;
};
#define UFFD_IOC_MOVE _IOWR(UFFDIO, 0x05, struct uffd_move)

struct page_region {
	uint64_t start, end, categories;
};
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define IOC_SCAN _IOWR('f', 16, struct scan_arg)
#define SCAN_IS_WRITTEN ((uint64_t)1 << 1)
#define SCAN_WP_MATCHING ((uint64_t)1)
#define SCAN_CHECK_WPASYNC ((uint64_t)2)

/* Who may use userfaultfd here: for the kernel's accesses too, for the program's own only, or not at all. */
enum uffd_right { UFFD_NOBODY, UFFD_USER, UFFD_KERNEL };

/* A descriptor with these features on, and what it may do. Negative errno: refused, or a feature is missing (-ENOSYS). */
int uffd_new(uint64_t features, enum uffd_right *right);
/* The features that the kernel has; *error is 0 or the negative errno of the refusal. */
uint64_t uffd_features(int *error);
int uffd_register(int fd, void *p, size_t len, uint64_t mode);
/* Each handles the whole range or returns a negative errno; *again counts the kernel's requests to try once more. */
int uffd_copy(int fd, void *to, const void *from, size_t len, uint64_t *again);
int uffd_move(int fd, void *to, void *from, size_t len, uint64_t *again, size_t *moved);
int uffd_protect(int fd, void *p, size_t len, bool on);

#endif
