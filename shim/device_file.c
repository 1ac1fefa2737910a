#include "shim/device_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "offload/base/fmt.h"
#include "offload/base/sys.h"
#include "offload/offload.h"
#include "shim/hook.h"

#define PATH "/dev/cdm0"
#define SIZE ((off_t)1 << 46) /* what fstat tells: as much as an address space takes */

/* One memfd stands for the device in this process; each open() opens it anew, so that descriptors are told by its inode. */
static _Atomic int own = -1;
static struct stat file;

static int own_open(void)
{
	int none = -1, fd = (int)cdm_sys3(SYS_memfd_create, (long)"cdm0", MFD_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	int high = (int)cdm_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 500); /* out of the program's way */
	if (high >= 0) {
		cdm_sys_close(fd);
		fd = high;
	}
	cdm_sys3(SYS_ftruncate, fd, SIZE, 0);
	cdm_sys3(SYS_fstat, fd, (long)&file, 0);
	if (!atomic_compare_exchange_strong(&own, &none, fd))
		cdm_sys_close(fd);
	return 0;
}

static int device_open(int flags, bool again)
{
	char path[32];

	if (atomic_load(&own) < 0 && own_open() < 0)
		return -1; /* errno stays ENOENT */
	cdm_fmt(path, sizeof(path), "/proc/self/fd/%d", atomic_load(&own));
	int fd = cdm_sys_open(path, (flags & O_CLOEXEC) | O_RDWR, 0);
	if (fd >= 0 && cdm_device_file_is(fd, 0))
		return fd;
	if (fd >= 0) /* the program has closed libcdm's, and its number is another file's */
		cdm_sys_close(fd);
	atomic_store(&own, -1);
	return again ? device_open(flags, false) : -1;
}

bool cdm_device_file_is(int fd, int flags)
{
	struct stat st;

	return atomic_load_explicit(&own, memory_order_relaxed) >= 0 && fd >= 0 && !(flags & MAP_ANONYMOUS) &&
	       !cdm_sys3(SYS_fstat, fd, (long)&st, 0) && st.st_dev == file.st_dev && st.st_ino == file.st_ino;
}

void *cdm_device_file_map(void *addr, size_t len, int prot, int flags, const void *site)
{
	int kept = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	void *p = cdm_map_mmap(addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | kept, -1, 0, site);

	if (!cdm_sys_failed(p))
		cdm_engine_birth(p, len);
	return p;
}

/* There is no such file: asked only after the kernel has said so, as it knows which paths can be read. */
static bool is_ours(int fd, const char *path)
{
	return fd < 0 && errno == ENOENT && !strcmp(path, PATH);
}

/* O_CREAT would make a file of that name, for all processes to find instead. */
static bool would_create(const char *path, int flags)
{
	return (flags & O_CREAT) && cdm_sys3(SYS_access, (long)path, F_OK, 0) == -ENOENT && !strcmp(path, PATH);
}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

#define OPEN(name)                                                                                                     \
	CDM_EXPORT int name(const char *path, int flags, ...)                                                          \
	{                                                                                                              \
		va_list ap;                                                                                            \
		va_start(ap, flags);                                                                                   \
		mode_t mode = mode_of(flags, ap);                                                                      \
		va_end(ap);                                                                                            \
		if (would_create(path, flags))                                                                         \
			return device_open(flags, true);                                                               \
		int fd = cdm_next.name(path, flags, mode);                                                             \
		return is_ours(fd, path) ? device_open(flags, true) : fd;                                              \
	}
#define OPENAT(name)                                                                                                   \
	CDM_EXPORT int name(int dir, const char *path, int flags, ...)                                                 \
	{                                                                                                              \
		va_list ap;                                                                                            \
		va_start(ap, flags);                                                                                   \
		mode_t mode = mode_of(flags, ap);                                                                      \
		va_end(ap);                                                                                            \
		if (would_create(path, flags))                                                                         \
			return device_open(flags, true);                                                               \
		int fd = cdm_next.name(dir, path, flags, mode);                                                        \
		return is_ours(fd, path) ? device_open(flags, true) : fd;                                              \
	}
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
