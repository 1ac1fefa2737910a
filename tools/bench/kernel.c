#include "tools/bench/kernel.h"

#include <errno.h>

#include "offload/base/sys.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define UFFD_DEVICE_NEW _IO(0xAA, 0x00)
#define PATIENCE 100000 /* retries before a request counts as refused */

/* By /dev/userfaultfd, whose file mode decides who may have kernel faults (Linux 6.1). */
static int device_open(void)
{
	int dev = cdm_sys_open("/dev/userfaultfd", O_RDWR | O_CLOEXEC, 0);

	if (dev < 0)
		return dev;
	int fd = (int)cdm_sys3(SYS_ioctl, dev, UFFD_DEVICE_NEW, O_CLOEXEC | O_NONBLOCK);
	cdm_sys_close(dev);
	return fd;
}

static int any_open(enum uffd_right *right)
{
	int fd = (int)cdm_sys3(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0);

	if (fd < 0 && fd != -ENOSYS)
		fd = device_open();
	*right = UFFD_KERNEL;
	if (fd >= 0)
		return fd;
	fd = (int)cdm_sys3(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY, 0, 0);
	*right = fd >= 0 ? UFFD_USER : UFFD_NOBODY;
	return fd;
}

int uffd_new(uint64_t features, enum uffd_right *right)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = any_open(right);

	if (fd < 0)
		return fd;
	int r = cdm_sys_ioctl(fd, UFFDIO_API, &api);
	if (!r && (api.features & features) == features)
		return fd;
	cdm_sys_close(fd);
	return r && r != -EINVAL ? r : -ENOSYS;
}

uint64_t uffd_features(int *error)
{
	struct uffdio_api api = {.api = UFFD_API};
	enum uffd_right right;
	int fd = any_open(&right);

	*error = fd < 0 ? fd : cdm_sys_ioctl(fd, UFFDIO_API, &api);
	if (fd >= 0)
		cdm_sys_close(fd);
	return *error ? 0 : api.features;
}

int uffd_register(int fd, void *p, size_t len, uint64_t mode)
{
	struct uffdio_register r = {.range = {(uintptr_t)p, len}, .mode = mode};

	return cdm_sys_ioctl(fd, UFFDIO_REGISTER, &r);
}

int uffd_copy(int fd, void *to, const void *from, size_t len, uint64_t *again)
{
	size_t done = 0;

	for (int tries = 0; done < len;) {
		struct uffdio_copy c = {.dst = (uintptr_t)to + done, .src = (uintptr_t)from + done, .len = len - done};
		int r = cdm_sys_ioctl(fd, UFFDIO_COPY, &c);
		if (c.copy > 0)
			done += (size_t)c.copy;
		if (!r)
			continue;
		if (r != -EAGAIN || ++tries > PATIENCE)
			return r;
		++*again;
	}
	return 0;
}

int uffd_move(int fd, void *to, void *from, size_t len, uint64_t *again, size_t *moved)
{
	*moved = 0;
	for (int tries = 0; *moved < len;) {
		struct uffd_move m = {
			.dst = (uintptr_t)to + *moved, .src = (uintptr_t)from + *moved, .len = len - *moved};
		int r = cdm_sys_ioctl(fd, UFFD_IOC_MOVE, &m);
		if (m.move > 0)
			*moved += (size_t)m.move;
		if (!r)
			continue;
		if (m.move <= 0 && (r != -EAGAIN || ++tries > PATIENCE)) /* part of it went: ask for the rest */
			return r;
		*again += r == -EAGAIN;
	}
	return 0;
}

int uffd_protect(int fd, void *p, size_t len, bool on)
{
	struct uffdio_writeprotect w = {.range = {(uintptr_t)p, len}, .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
	int r;

	while ((r = cdm_sys_ioctl(fd, UFFDIO_WRITEPROTECT, &w)) == -EAGAIN)
		cdm_sys_yield();
	return r;
}
