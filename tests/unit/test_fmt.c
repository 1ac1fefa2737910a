/* The formatter agrees with snprintf on everything it claims to know, and its JSON strings are valid. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "offload/base/fmt.h"

static uint64_t state;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void seed(void)
{
	const char *s = getenv("TEST_SEED");
	state = s ? strtoull(s, NULL, 0) : 20240607;
	printf("TEST_SEED=%llu\n", (unsigned long long)state);
}

#define SAME(...)                                                                                                      \
	do {                                                                                                           \
		char ours[512], libc[512];                                                                             \
		size_t n = cdm_fmt(ours, sizeof(ours), __VA_ARGS__);                                                   \
		int m = snprintf(libc, sizeof(libc), __VA_ARGS__);                                                     \
		cr_assert_str_eq(ours, libc);                                                                          \
		cr_assert_eq(n, (size_t)m);                                                                            \
	} while (0)

/* Hidden from the compiler's format check. */
static size_t run_format(char *b, size_t cap, const char *fmt, ...)
{
	struct cdm_text t;
	va_list ap;
	cdm_text_init(&t, b, cap);
	va_start(ap, fmt);
	cdm_textv(&t, fmt, ap);
	va_end(ap);
	return t.len;
}

Test(fmt, directives)
{
	SAME("plain");
	SAME("%s|%10s|%-10s|%.3s|%8.2s|", "abc", "abc", "abc", "abcdef", "abcdef");
	SAME("%c%%%c", 'x', 'y');
	SAME("%d %d %d %5d|%-5d|", 0, -1, 2147483647, -42, -42);
	SAME("%ld %lld %zd", INT64_MIN, (long long)INT64_MAX, (ssize_t)-5);
	SAME("%u %lu %zu %x %lx", 4000000000u, UINT64_MAX, SIZE_MAX, 0xdeadbeefu, UINT64_MAX);
	SAME("%p", (void *)0x7fff1234);
	SAME("%10lu|%-10lu|%10u", 77ul, 77ul, 3u);
	char b[64];
	run_format(b, sizeof(b), "%s", (char *)NULL);
	cr_assert_str_eq(b, "(null)");
}

Test(fmt, doubles_special)
{
	const double values[] = {0.0,   -0.0,         0.5,        1.5,      2.5,      -0.5,       0.125,
				 0.375, 999.9999,     0.05,       1e-300,   5e-324,   1e15 + 0.5, 9007199254740993.0,
				 1e18,  0.9999999995, 1e18 - 128, HUGE_VAL, -HUGE_VAL};
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		SAME("%f %.0f %.1f %.2f", values[i], values[i], values[i], values[i]);
		SAME("%.3f %.9f %12.3f|%-12.1f|", values[i], values[i], values[i], values[i]);
	}
	SAME("%.1f", __builtin_nan(""));
}

/* Every exponent up to 1e18, short and long mantissas, so that exact ties occur. */
Test(fmt, doubles_random)
{
	seed();
	for (int i = 0; i < 300000; i++) {
		double v = ldexp((double)(draw() >> (draw() % 53 + 11)), (int)(draw() % 90) - 70);
		v = draw() & 1 ? -v : v;
		if (fabs(v) > 1e18)
			continue;
		switch (draw() % 10) {
#define CASE(N)                                                                                                        \
	case N:                                                                                                        \
		SAME("%." #N "f", v);                                                                                  \
		break;
			CASE(0)
			CASE(1)
			CASE(2)
			CASE(3)
			CASE(4)
			CASE(5)
			CASE(6)
			CASE(7)
			CASE(8)
			CASE(9)
#undef CASE
		}
	}
}

Test(fmt, decimal_random)
{
	seed();
	for (int i = 0; i < 200000; i++) {
		char text[64];
		snprintf(text, sizeof(text), "%d.%0*d", (int)(draw() % 100000), (int)(draw() % 9) + 1,
			 (int)(draw() % 10));
		double v = strtod(text, NULL);
		SAME("%.1f %.2f %.3f %.6f", v, v, v, v);
	}
}

Test(fmt, integers_random)
{
	seed();
	for (int i = 0; i < 200000; i++) {
		uint64_t v = draw() >> draw() % 64;
		SAME("%d %u %x", (int)v, (unsigned)v, (unsigned)v);
		SAME("%ld %lu %lx %zu", (long)v, v, v, (size_t)v);
		SAME("%12ld|%-12ld|%5u|%-5d|", (long)v, (long)v, (unsigned)v, (int)v);
	}
}

Test(fmt, huge_doubles_keep_their_magnitude)
{
	char b[512];
	(void)cdm_fmt(b, sizeof(b), "%.1f", 1.5e30);
	cr_assert(fabs(strtod(b, NULL) / 1.5e30 - 1) < 1e-12, "%s", b);
	(void)cdm_fmt(b, sizeof(b), "%.9f", -1.5e308);
	cr_assert(fabs(strtod(b, NULL) / -1.5e308 - 1) < 1e-12, "%s", b);
}

Test(fmt, cut_and_terminated)
{
	for (size_t cap = 0; cap < 12; cap++) {
		char *b = malloc(cap ? cap : 1);
		struct cdm_text t;
		cdm_text_init(&t, b, cap);
		cdm_textf(&t, "%s%d", "hello", 12345);
		cr_assert_eq(t.len, cap == 0 ? 0 : cap - 1 < 10 ? cap - 1 : 10);
		cr_assert_eq(t.cut, cap < 11);
		cr_assert(cap == 0 || !strncmp(b, "hello12345", t.len));
		cr_assert(cap == 0 || b[t.len] == 0);
		free(b);
	}
}

Test(fmt, unknown_directives_are_text)
{
	char b[64];
	run_format(b, sizeof(b), "a%qb %s", "x");
	cr_assert_str_eq(b, "a%qb %s");
	run_format(b, sizeof(b), "100%");
	cr_assert_str_eq(b, "100%");
}

Test(fmt, json_strings)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", "\"\""},
		{"a\"b\\c", "\"a\\\"b\\\\c\""},
		{"\n\x01\x1f", "\"\\u000a\\u0001\\u001f\""},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"\xff\xc3", "\"\\u00ff\\u00c3\""},
		{"\xc0\x80", "\"\\u00c0\\u0080\""},            /* overlong */
		{"\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\""}, /* surrogate */
		{"\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\""},
		{"\xe2\x82", "\"\\u00e2\\u0082\""}, /* ends early */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char b[128];
		struct cdm_text t;
		cdm_text_init(&t, b, sizeof(b));
		cdm_text_json(&t, cases[i].in);
		cr_assert_str_eq(b, cases[i].out);
	}
}

Test(fmt, random_formats_stay_inside)
{
	static const char alphabet[] = "%%%%sdufxpclz.-0123456789 a";
	seed();
	for (int i = 0; i < 200000; i++) {
		char fmt[16], b[40];
		size_t n = draw() % 15;
		for (size_t j = 0; j < n; j++)
			fmt[j] = alphabet[draw() % (sizeof(alphabet) - 1)];
		fmt[n] = 0;
		/* More strings and doubles than a format of 14 characters can ask for; pointers serve as integers. */
		size_t len = run_format(b, draw() % sizeof(b) + 1, fmt, "s", "s", "s", "s", "s", "s", "s", 1.0, -2.5,
					3e9, 4.0, 1e30, 6.0, 7.0);
		cr_assert(len < sizeof(b) && b[len] == 0);
	}
}
