/* What cdm_query says of each page is what the kernel says of it in pagemap, maps and smaps: a page on a private
 * device is not within the CPU's reach, one that is valid on both is read-only for it, one at home is the program's
 * own; on a coherent device every page is. Untouched pages have no memory. */
#include "tests/scenarios/scenario.h"

enum { N = 512, PARTS = 8 };
static const size_t part = sizeof(double) * N * N, bytes = PARTS * sizeof(double) * N * N;

/* Resident bytes of the mappings that lie in [p, p+n). */
static size_t resident_set(const char *p, size_t n)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	size_t sum = 0, kib;
	bool inside = false;

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end;
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start >= (uintptr_t)p && end <= (uintptr_t)(p + n);
		else if (inside && sscanf(line, "Rss: %zu kB", &kib) == 1)
			sum += kib;
	}
	fclose(f);
	return sum << 10;
}

/* One page against the kernel. touched: it has contents. */
static void compare(const char *p, bool touched)
{
	struct cdm_where w = where(p, PAGE);
	uint64_t word = pagemap(p);
	bool present = word >> 63, write_protected = word >> 57 & 1;
	const char *perms = permissions(p);

	CHECK(w.untracked + w.host + w.shared + w.device == PAGE && !w.moving, WHERE_FORMAT, WHERE_ARGS(w));
	CHECK(w.generation != 0);
	if (w.host) {
		CHECK(present == touched, "at home: pagemap says %016llx", (unsigned long long)word);
		CHECK(!strncmp(perms, "rw-p", 4), "at home: %s", perms);
	} else if (w.shared) {
		CHECK(is_private());
		CHECK(present, "valid on both: pagemap says %016llx", (unsigned long long)word);
		CHECK(!strncmp(perms, "r--p", 4) || write_protected, "valid on both: %s", perms);
	} else if (is_private()) {
		CHECK(!present || !strncmp(perms, "---p", 4), "on the device: pagemap says %016llx, %s",
		      (unsigned long long)word, perms);
	} else {
		CHECK(present && !strncmp(perms, "rw-p", 4), "on the device: pagemap says %016llx, %s",
		      (unsigned long long)word, perms);
	}
}

/* With several nodes the kernel makes pages inaccessible now and then to see who uses them, and smaps leaves huge ones of these
 * out (follow_trans_huge_pmd, to at least 6.1). */
static bool balances(void)
{
	FILE *f = fopen("/proc/sys/kernel/numa_balancing", "r");
	int on = 0;

	if (!f)
		return false;
	if (fscanf(f, "%d", &on) != 1)
		on = 0;
	fclose(f);
	return on;
}

static void compare_all(const char *p, const bool *touched)
{
	struct cdm_where w = where(p, bytes), sum = {0};
	size_t at_hand = 0;

	for (size_t at = 0; at < bytes; at += PAGE) {
		struct cdm_where one = where(p + at, PAGE);
		sum.untracked += one.untracked;
		sum.host += one.host;
		sum.shared += one.shared;
		sum.device += one.device;
		/* Present and mapped once: the kernel's zero page is not, and smaps does not count it. */
		at_hand += (pagemap(p + at) >> 56 & 0x81) == 0x81 ? PAGE : 0;
		if (at / PAGE % 37 == 0 || at % part == 0 || at % part == part - PAGE) /* parsing maps takes a while */
			compare(p + at, touched[at / part]);
	}
	CHECK(sum.untracked == w.untracked && sum.host == w.host && sum.shared == w.shared && sum.device == w.device,
	      WHERE_FORMAT, WHERE_ARGS(w));
	CHECK(w.host + w.shared + w.device == bytes, WHERE_FORMAT, WHERE_ARGS(w));
	size_t held = resident_set(p, bytes);
	CHECK(held == at_hand || (balances() && held < at_hand), "smaps: %zu KiB, pagemap: %zu", held >> 10,
	      at_hand >> 10);
	if (is_private() && w.shared == 0 && w.host == 0)
		CHECK(resident_set(p, bytes) == 0, "all is on the device, yet %zu KiB are held at home",
		      resident_set(p, bytes) >> 10);
}

static void run(bool huge)
{
	char *p = map_private(bytes, huge);
	double *eye = malloc(part), *out = malloc(part), *x[PARTS];
	bool touched[PARTS] = {0};

	identity(eye, N, N);
	for (int i = 0; i < PARTS; i++)
		x[i] = (double *)(void *)(p + (size_t)i * part);
	CHECK(where(p, bytes).host == bytes && where(p, bytes).device == 0);
	compare_all(p, touched);

	/* 0 untouched; 1 host; 2 read; 3 written; 4 written, then read by the CPU; 5 read, then written by the CPU;
	 * 6 written and brought home on request; 7 untouched */
	for (int i = 1; i < PARTS - 1; i++) {
		fill(x[i], (size_t)N * N, (unsigned)i);
		touched[i] = true;
	}
	compare_all(p, touched);
	multiply(N, N, x[2], eye, out);
	multiply(N, N, eye, eye, x[3]);
	multiply(N, N, eye, eye, x[4]);
	multiply(N, N, x[5], eye, out);
	multiply(N, N, eye, eye, x[6]);
	CHECK_READ(x[2], part);
	CHECK_WRITTEN(x[3], part);
	CHECK_HOME(x[1], part);
	compare_all(p, touched);
	CHECK(*(volatile double *)x[4] == 1);
	*(volatile double *)x[5] = 3;
	CHECK(!cdm_prefetch(x[6], part, CDM_TO_HOST));
	CHECK(where(x[6], part).device == 0 && where(x[1], part).device == 0);
	CHECK(!is_private() ||
	      (where(x[4], part).device == 0 && where(x[5], part).device + where(x[5], part).shared < part));
	compare_all(p, touched);

	CHECK(!cdm_prefetch(p, bytes, CDM_TO_HOST));
	for (int i = 0; i < PARTS; i++)
		touched[i] = has_memory(x[i]); /* what was untouched may have become zero pages */
	CHECK(touched[1] && touched[2] && touched[3] && touched[4] && touched[5] && touched[6]);
	compare_all(p, touched);

	/* All of it on the device. */
	double *u = calloc(PARTS * N, sizeof(*u)), *v = calloc(N, sizeof(*v));
	outer(PARTS * N, N, u, v, 1, x[0]);
	CHECK_WRITTEN(p, bytes);
	for (int i = 0; i < PARTS; i++)
		touched[i] = true;
	compare_all(p, touched);
	free(u);
	free(v);
	munmap(p, bytes);
	CHECK(where(p, bytes).untracked == bytes);
	free(eye);
	free(out);
}

int main(void)
{
	run(false);
	run(true);
	return 0;
}
