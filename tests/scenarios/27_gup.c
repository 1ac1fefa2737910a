/* What the kernel reads and writes on the program's behalf, in memory that is on the device: files, pipes, vectors, stdio,
 * direct I/O, names and small results, and io_uring's registered buffers, which are pinned for long and never move.
 */
#include <linux/io_uring.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tests/scenarios/vector.h"

enum { BYTES = 6 << 20, COUNT = BYTES / 8, LENGTH = 131072, AT = (2 << 20) - 65536 }; /* across a border of 2 MiB */

static double *x;
static double *part; /* of x, from AT on */
static int file, direct = -1;
static unsigned seed;

/* The file holds LENGTH bytes of what fill(, 100) makes. */
static double in_file[LENGTH / 8];

static void on_the_device(void)
{
	resident(x, COUNT, ++seed);
}
/* Around the part, and inside it: the same as before, or the file's contents. */
static void check_in(const char *what, size_t offset, size_t length)
{
	EXPECT(x, (AT + offset) / 8, seed, 1);
	CHECK(!memcmp((char *)x + AT + offset, (char *)in_file + offset, length), "%s: not what is in the file", what);
	EXPECT_FROM(x, (AT + offset + length) / 8, COUNT, seed, 1);
	/* The device sees it, too. */
	bump(x, COUNT);
	for (size_t i = 0; i < length / 8; i++) {
		size_t at = (AT + offset) / 8 + i;
		CHECK(x[at] == in_file[offset / 8 + i] + 1, "%s: element %zu is %g", what, at, x[at]);
	}
}
static void check_out(const char *what)
{
	static double got[LENGTH / 8];
	CHECK(pread(file, got, LENGTH, LENGTH) == LENGTH, "%s", what);
	for (size_t i = 0; i < LENGTH / 8; i++)
		CHECK(got[i] == value(AT / 8 + i, seed) + 1, "%s: element %zu is %g in the file", what, i, got[i]);
	EXPECT(x, COUNT, seed, 1);
	CHECK(!ftruncate(file, LENGTH));
}

static ssize_t by_read(void *at)
{
	CHECK(lseek(file, 0, SEEK_SET) == 0);
	return read(file, at, LENGTH);
}
static ssize_t by_pread(void *at)
{
	return pread(file, at, LENGTH, 0);
}
static void pieces(struct iovec v[11], void *at)
{
	for (int i = 0; i < 11; i++)
		v[i] = (struct iovec){(char *)at + i * 11904, i < 10 ? 11904 : LENGTH - 10 * 11904};
}
static ssize_t by_readv(void *at)
{
	struct iovec v[11];
	pieces(v, at);
	CHECK(lseek(file, 0, SEEK_SET) == 0);
	return readv(file, v, 11);
}
static ssize_t by_preadv(void *at)
{
	struct iovec v[2] = {{at, 8000}, {(char *)at + 8000, LENGTH - 8000}};
	return preadv(file, v, 2, 0);
}
static ssize_t by_preadv2(void *at)
{
	struct iovec v = {at, LENGTH};
	return preadv2(file, &v, 1, 0, 0);
}
static ssize_t by_fread(void *at)
{
	FILE *f = fdopen(dup(file), "r");
	CHECK(f);
	rewind(f);
	size_t n = fread(at, 1, LENGTH, f);
	fclose(f);
	return (ssize_t)n;
}
static ssize_t by_direct_read(void *at)
{
	return direct < 0 ? 0 : pread(direct, at, LENGTH, 0);
}
static ssize_t by_direct_readv(void *at)
{
	struct iovec v[2] = {{at, 8192}, {(char *)at + 8192, LENGTH - 8192}};
	return direct < 0 ? 0 : preadv(direct, v, 2, 0);
}
static ssize_t by_copy(void *at) /* from this process to itself */
{
	struct iovec to = {at, LENGTH}, from = {in_file, LENGTH};
	return process_vm_readv(getpid(), &to, 1, &from, 1, 0);
}

static const struct way {
	const char *name;
	ssize_t (*call)(void *at);
} in[] = {{"read", by_read},
	  {"pread", by_pread},
	  {"readv of 11", by_readv},
	  {"preadv", by_preadv},
	  {"preadv2", by_preadv2},
	  {"fread", by_fread},
	  {"direct read", by_direct_read},
	  {"direct readv", by_direct_readv},
	  {"process_vm_readv", by_copy}};

static ssize_t by_write(void *at)
{
	CHECK(lseek(file, LENGTH, SEEK_SET) == LENGTH);
	return write(file, at, LENGTH);
}
static ssize_t by_pwrite(void *at)
{
	return pwrite(file, at, LENGTH, LENGTH);
}
static ssize_t by_writev(void *at)
{
	struct iovec v[11];
	pieces(v, at);
	CHECK(lseek(file, LENGTH, SEEK_SET) == LENGTH);
	return writev(file, v, 11);
}
static ssize_t by_pwritev(void *at)
{
	struct iovec v[2] = {{at, 8000}, {(char *)at + 8000, LENGTH - 8000}};
	return pwritev(file, v, 2, LENGTH);
}
static ssize_t by_fwrite(void *at)
{
	FILE *f = fdopen(dup(file), "r+");
	CHECK(f && !fseek(f, LENGTH, SEEK_SET));
	size_t n = fwrite(at, 1, LENGTH, f);
	CHECK(!fclose(f));
	return (ssize_t)n;
}
static ssize_t by_direct_write(void *at)
{
	return direct < 0 ? 0 : pwrite(direct, at, LENGTH, LENGTH);
}
static const struct way out[] = {{"write", by_write},     {"pwrite", by_pwrite}, {"writev of 11", by_writev},
				 {"pwritev", by_pwritev}, {"fwrite", by_fwrite}, {"direct write", by_direct_write}};

static void calls(void)
{
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		on_the_device();
		errno = 0;
		ssize_t got = in[i].call(part);
		if (got == 0)
			continue; /* no direct I/O */
		CHECK(got == LENGTH, "%s: %zd, %s", in[i].name, got, strerror(errno));
		check_in(in[i].name, 0, LENGTH);
	}
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
		on_the_device();
		errno = 0;
		ssize_t put = out[i].call(part);
		if (put == 0)
			continue;
		CHECK(put == LENGTH, "%s: %zd, %s", out[i].name, put, strerror(errno));
		check_out(out[i].name);
	}
}

/* A read that waits for its data: the operation on the same memory meanwhile neither fails nor loses it. */
static int pipe_end[2];
static void *reader(void *arg)
{
	(void)arg;
	CHECK(read(pipe_end[0], part, 4096) == 4096);
	return NULL;
}
static void pinned_meanwhile(void)
{
	pthread_t t;

	on_the_device();
	CHECK(!pipe(pipe_end) && !pthread_create(&t, NULL, reader, NULL));
	usleep(20000);
	if (is_private())
		CHECK(on_device(part, 4096) == 0, "a buffer that a system call waits for is on the device");
	bump(x, COUNT);
	if (is_private())
		CHECK(on_device(part, 4096) == 0, "a buffer that a system call waits for has moved");
	EXPECT(x, COUNT, seed, 2);
	CHECK(write(pipe_end[1], in_file, 4096) == 4096 && !pthread_join(t, NULL));
	EXPECT(x, AT / 8, seed, 2);
	CHECK(!memcmp(part, in_file, 4096), "the data of a read that waited is lost");
	EXPECT_FROM(x, AT / 8 + 512, COUNT, seed, 2);
	close(pipe_end[0]), close(pipe_end[1]);
	int tries = 0; /* not pinned any more, but what was refused is tried again only now and then */
	do
		bump(x, COUNT);
	while (where(x, BYTES).device != BYTES && ++tries < 100);
	CHECK_WRITTEN(x, BYTES);
	EXPECT_FROM(x, AT / 8 + 512, COUNT, seed, 3 + tries);
}

/* Small things that the kernel leaves in or takes from memory on the device. */
static void small_results(void)
{
	char *at = (char *)part, here[4096];
	struct stat st;

	on_the_device();
	CHECK(getrandom(at, 256, 0) == 256);
	CHECK(memcmp(at, (double[32]){0}, 256));
	on_the_device();
	CHECK(getcwd(here, sizeof(here)) && getcwd(at, sizeof(here)) == at && !strcmp(at, here));
	on_the_device();
	ssize_t n = readlink("/proc/self/exe", at, 4096);
	CHECK(n > 0 && n == readlink("/proc/self/exe", here, sizeof(here)) && !memcmp(at, here, (size_t)n));
	on_the_device();
	CHECK(!fstat(file, (struct stat *)(void *)at) && !fstat(file, &st), "fstat: %s", strerror(errno));
	CHECK(((struct stat *)(void *)at)->st_ino == st.st_ino);
	strcpy(at, "/proc/self/exe"); /* home now */
	CHECK(!cdm_prefetch(at, PAGE, CDM_TO_DEVICE));
	int fd = open(at, O_RDONLY);
	CHECK(fd >= 0, "open of a name on the device: %s", strerror(errno));
	close(fd);
}

/* ---- io_uring ---- */

struct ring {
	int fd;
	unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
};

/* False where the machine does not allow it. */
static bool ring_open(struct ring *r)
{
	struct io_uring_params p;
	memset(&p, 0, sizeof(p));
	r->fd = (int)syscall(SYS_io_uring_setup, 4, &p);
	if (r->fd < 0 || !(p.features & IORING_FEAT_SINGLE_MMAP))
		return false;
	size_t n = p.sq_off.array + p.sq_entries * 4, m = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	char *q = mmap(NULL, n > m ? n : m, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	r->sqe = mmap(NULL, p.sq_entries * sizeof(*r->sqe), PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQES);
	CHECK(q != MAP_FAILED && r->sqe != MAP_FAILED);
	r->sq_tail = (unsigned *)(void *)(q + p.sq_off.tail);
	r->sq_mask = (unsigned *)(void *)(q + p.sq_off.ring_mask);
	r->sq_array = (unsigned *)(void *)(q + p.sq_off.array);
	r->cq_head = (unsigned *)(void *)(q + p.cq_off.head);
	r->cq_tail = (unsigned *)(void *)(q + p.cq_off.tail);
	r->cq_mask = (unsigned *)(void *)(q + p.cq_off.ring_mask);
	r->cqe = (struct io_uring_cqe *)(void *)(q + p.cq_off.cqes);
	return true;
}

/* One operation on the file, from or to registered buffer 0. */
static int ring_do(struct ring *r, int opcode, void *at, size_t n, off_t offset)
{
	unsigned tail = *r->sq_tail, i = tail & *r->sq_mask;

	memset(&r->sqe[i], 0, sizeof(r->sqe[i]));
	r->sqe[i].opcode = (uint8_t)opcode;
	r->sqe[i].fd = file;
	r->sqe[i].off = (uint64_t)offset;
	r->sqe[i].addr = (uintptr_t)at;
	r->sqe[i].len = (uint32_t)n;
	r->sq_array[i] = i;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	CHECK(syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	unsigned head = *r->cq_head;
	CHECK(__atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) != head);
	int result = r->cqe[head & *r->cq_mask].res;
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return result;
}

/* Fresh memory, as on_the_device() leaves it, but by the CPU. */
static void fill_and_add(double *y, size_t count, unsigned with)
{
	fill(y, count, with);
	for (size_t i = 0; i < count; i++)
		y[i] += 1;
}

/* Registered while it is on the device (on a private one it comes home for that), or on the host: from then on it stays where it
 * is, the device uses it there, and nothing that the ring writes goes to pages that the program does not see. */
static void registered(struct ring *r, bool away)
{
	struct iovec all = {x, BYTES};

	if (away)
		on_the_device();
	else
		fill_and_add(x, COUNT, ++seed);
	int ret = (int)syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_BUFFERS, &all, 1);
	if (ret && errno == ENOMEM)
		refused("io_uring may not lock as much memory as the buffer has");
	CHECK(!ret, "%s", strerror(errno));
	EXPECT(x, COUNT, seed, 1);
	for (int i = 0; i < 3; i++) {
		struct cdm_where before = where(x, BYTES);
		bump(x, COUNT);
		struct cdm_where after = where(x, BYTES);
		CHECK(!is_private() || (after.device == 0 && after.shared == 0), WHERE_FORMAT, WHERE_ARGS(after));
		CHECK(after.device == before.device, "pinned memory moved: " WHERE_FORMAT, WHERE_ARGS(after));
		CHECK(ring_do(r, IORING_OP_READ_FIXED, part, LENGTH, 0) == LENGTH);
		CHECK(!memcmp(part, in_file, LENGTH), "what the ring read is somewhere else");
		bump(x, COUNT);
		for (size_t k = 0; k < LENGTH / 8; k++)
			CHECK(part[k] == in_file[k] + 1, "the device did not see element %zu", k);
		EXPECT(x, AT / 8, seed, 3 + 2 * i);
		CHECK(ring_do(r, IORING_OP_WRITE_FIXED, part, LENGTH, LENGTH) == LENGTH);
		double first;
		CHECK(pread(file, &first, 8, LENGTH) == 8 && first == in_file[0] + 1, "the ring wrote something else");
	}
	CHECK(!ftruncate(file, LENGTH));
	CHECK(!syscall(SYS_io_uring_register, r->fd, IORING_UNREGISTER_BUFFERS, NULL, 0));
	fill(x, COUNT, seed); /* and now it may move again */
	bump(x, COUNT);
	EXPECT(x, COUNT, seed, 1);
}

static int temporary(void)
{
	static const char *const directories[] = {"build", "/var/tmp", "/tmp"};
	char name[64], link[64];

	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s/cdm_gup_XXXXXX", directories[i]);
		int fd = mkstemp(name);
		if (fd < 0)
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		direct = open(link, O_RDWR | O_DIRECT);
		unlink(name);
		return fd;
	}
	CHECK(false, "no directory for a file");
	return -1;
}

int main(void)
{
	struct ring ring;

	file = temporary();
	fill(in_file, LENGTH / 8, 100);
	CHECK(write(file, in_file, LENGTH) == LENGTH && !fsync(file));
	if (direct < 0)
		printf("no direct I/O on this file system: without it\n");
	bool uring = ring_open(&ring);
	for (int kind = 0; kind < 2; kind++) {
		x = kind ? map_private(BYTES, true) : aligned_alloc(PAGE, BYTES);
		CHECK(x);
		part = x + AT / 8;
		calls();
		pinned_meanwhile();
		small_results();
		if (uring)
			registered(&ring, true);
		if (!kind)
			free(x);
	}
	if (uring) {
		x = map_private(BYTES, false);
		part = x + AT / 8;
		registered(&ring, false);
		CHECK(!munmap(x, BYTES));
	} else {
		refused("io_uring is not allowed here; everything else passed");
	}
	return 0;
}
