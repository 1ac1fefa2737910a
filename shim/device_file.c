#include "shim/device_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "offload/base/sys.h"
#include "offload/offload.h"
#include "shim/hook.h"

#define PATH "/dev/cdm0"
#define SIZE ((off_t)1 << 46) /* what fstat tells: as much as an address space takes */

/* The files behind the program's descriptors are memfds, told by their device number; all of this process lie there, so
 * a file of another's making is told by its inode number, too. */
#define FILES 64
static _Atomic ino_t inode[FILES];
static _Atomic int files;
static dev_t device;

static int device_open(int flags)
{
	struct stat st;
	int slot = atomic_fetch_add(&files, 1);
	int fd = (int)cdm_sys3(SYS_memfd_create, (long)"cdm0", flags & O_CLOEXEC ? MFD_CLOEXEC : 0, 0);

	if (fd < 0 || cdm_sys3(SYS_fstat, fd, (long)&st, 0) || slot >= FILES) {
		errno = slot >= FILES ? EMFILE : fd < 0 ? -fd : ENODEV;
		if (fd >= 0)
			cdm_sys_close(fd);
		return -1;
	}
	cdm_sys3(SYS_ftruncate, fd, SIZE, 0);
	device = st.st_dev;
	atomic_store(&inode[slot], st.st_ino);
	return fd;
}

bool cdm_device_file_is(int fd, int flags)
{
	int n = atomic_load_explicit(&files, memory_order_relaxed);
	struct stat st;

	if (!n || fd < 0 || (flags & MAP_ANONYMOUS) || cdm_sys3(SYS_fstat, fd, (long)&st, 0) || st.st_dev != device)
		return false;
	for (int i = 0; i < n && i < FILES; i++)
		if (atomic_load(&inode[i]) == st.st_ino)
			return true;
	return false;
}

void *cdm_device_file_map(void *addr, size_t len, int prot, int flags, const void *site)
{
	int kept = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	void *p = cdm_map_mmap(addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | kept, -1, 0, site);

	if (!cdm_sys_failed(p))
		cdm_engine_birth(p, len);
	return p;
}

static bool is_ours(const char *path)
{
	return path && path[0] == '/' && !strcmp(path, PATH);
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
		return is_ours(path) ? device_open(flags) : cdm_next.name(path, flags, mode);                          \
	}
#define OPENAT(name)                                                                                                   \
	CDM_EXPORT int name(int dir, const char *path, int flags, ...)                                                 \
	{                                                                                                              \
		va_list ap;                                                                                            \
		va_start(ap, flags);                                                                                   \
		mode_t mode = mode_of(flags, ap);                                                                      \
		va_end(ap);                                                                                            \
		return is_ours(path) ? device_open(flags) : cdm_next.name(dir, path, flags, mode);                     \
	}
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
