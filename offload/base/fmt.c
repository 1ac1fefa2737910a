#include "offload/base/fmt.h"

#include <stdint.h>
#include <string.h>

struct spec {
	int left, width, precision; /* precision < 0: not given */
	int size;                   /* 0 int, 1 long, 2 long long, 3 size_t */
};

/* Longest number: a sign, the 309 digits of the largest double, a point and 9 digits. */
#define NUMBER_MAX 336

static void put(struct cdm_text *t, const char *s, size_t n)
{
	size_t room = t->cap > t->len ? t->cap - t->len - 1 : 0;
	if (n > room) {
		n = room;
		t->cut = 1;
	}
	if (!n)
		return;
	memcpy(t->buf + t->len, s, n);
	t->len += n;
	t->buf[t->len] = 0;
}

static void pad(struct cdm_text *t, size_t have, int width)
{
	for (; have < (size_t)width; have++)
		put(t, " ", 1);
}

static void put_padded(struct cdm_text *t, const struct spec *s, const char *p, size_t n)
{
	if (!s->left)
		pad(t, n, s->width);
	put(t, p, n);
	if (s->left)
		pad(t, n, s->width);
}

/* Digits of v that end at end; returns where they start. */
static char *digits(char *end, uint64_t v, unsigned base)
{
	do {
		*--end = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	return end;
}

static void put_integer(struct cdm_text *t, const struct spec *s, int negative, uint64_t v, unsigned base)
{
	char tmp[32], *e = tmp + sizeof(tmp), *p = digits(e, v, base);
	if (negative)
		*--p = '-';
	put_padded(t, s, p, (size_t)(e - p));
}

static void put_pointer(struct cdm_text *t, const struct spec *s, const void *q)
{
	char tmp[32], *e = tmp + sizeof(tmp), *p = digits(e, (uintptr_t)q, 16);
	*--p = 'x';
	*--p = '0';
	put_padded(t, s, p, (size_t)(e - p));
}

/* |x| < 2^64 as *whole + *part / 10^places, rounded as the exact binary value asks, ties to even. */
static void split_double(uint64_t bits, int places, uint64_t *whole, uint64_t *part)
{
	static const uint64_t tens[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
	int exponent = (int)(bits >> 52 & 0x7ff);
	uint64_t mantissa = bits & (((uint64_t)1 << 52) - 1);
	if (exponent)
		mantissa |= (uint64_t)1 << 52;
	else
		exponent = 1;
	int shift = 1075 - exponent; /* |x| = mantissa / 2^shift */
	*part = 0;
	*whole = shift <= 0 ? mantissa << -shift : shift < 64 ? mantissa >> shift : 0;
	if (shift <= 0 || shift >= 128)
		return;
	uint64_t fraction = shift < 64 ? mantissa & (((uint64_t)1 << shift) - 1) : mantissa;
	unsigned __int128 scaled = (unsigned __int128)fraction * tens[places];
	unsigned __int128 half = (unsigned __int128)1 << (shift - 1);
	*part = (uint64_t)(scaled >> shift);
	unsigned __int128 rest = scaled - ((unsigned __int128)*part << shift);
	int odd = (places ? *part : *whole) & 1;
	*part += rest > half || (rest == half && odd);
	if (*part == tens[places]) {
		*part = 0;
		*whole += 1;
	}
}

static const char *not_a_number(uint64_t bits)
{
	if ((bits >> 52 & 0x7ff) != 0x7ff)
		return NULL;
	if (bits << 12)
		return "nan";
	return bits >> 63 ? "-inf" : "inf";
}

static void put_double(struct cdm_text *t, const struct spec *s, double x)
{
	char tmp[NUMBER_MAX], *e = tmp + sizeof(tmp), *p = e;
	uint64_t bits, whole, part;
	int places = s->precision < 0 ? 6 : s->precision > 9 ? 9 : s->precision, zeros = 0;

	memcpy(&bits, &x, sizeof(bits));
	const char *special = not_a_number(bits);
	if (special) {
		put_padded(t, s, special, strlen(special));
		return;
	}
	int negative = (int)(bits >> 63);
	for (x = negative ? -x : x; x >= 1e19; x /= 10)
		zeros++;
	memcpy(&bits, &x, sizeof(bits));
	split_double(bits, places, &whole, &part);
	for (int i = 0; i < places; i++, part /= 10)
		*--p = (char)('0' + part % 10);
	if (places)
		*--p = '.';
	for (int i = 0; i < zeros; i++)
		*--p = '0';
	p = digits(p, whole, 10);
	if (negative)
		*--p = '-';
	put_padded(t, s, p, (size_t)(e - p));
}

static void put_string(struct cdm_text *t, const struct spec *s, const char *p)
{
	if (!p)
		p = "(null)";
	put_padded(t, s, p, s->precision < 0 ? strlen(p) : strnlen(p, (size_t)s->precision));
}

static int64_t take_signed(va_list *ap, int size)
{
	return size == 0 ? va_arg(*ap, int) : size == 2 ? va_arg(*ap, long long) : va_arg(*ap, long);
}

static uint64_t take_unsigned(va_list *ap, int size)
{
	return size == 0   ? va_arg(*ap, unsigned)
	       : size == 2 ? va_arg(*ap, unsigned long long)
			   : va_arg(*ap, unsigned long);
}

static const char *parse_number(const char *p, int *out)
{
	int n = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		n = n < 1000 ? n * 10 + (*p - '0') : n;
	*out = n;
	return p;
}

/* p is behind the '%'; returns the conversion character's place. */
static const char *parse_spec(const char *p, struct spec *s)
{
	*s = (struct spec){.precision = -1};
	for (; *p == '-'; p++)
		s->left = 1;
	p = parse_number(p, &s->width);
	if (*p == '.')
		p = parse_number(p + 1, &s->precision);
	for (; *p == 'l'; p++)
		s->size++;
	for (; *p == 'z'; p++)
		s->size = 3;
	return p;
}

/* False: not a directive of ours, and nothing was taken from ap. */
static int put_directive(struct cdm_text *t, const struct spec *s, char conversion, va_list *ap)
{
	switch (conversion) {
	case 's':
		put_string(t, s, va_arg(*ap, const char *));
		return 1;
	case 'c':
		put_padded(t, s, &(char){(char)va_arg(*ap, int)}, 1);
		return 1;
	case 'd': {
		int64_t v = take_signed(ap, s->size);
		put_integer(t, s, v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10);
		return 1;
	}
	case 'u':
	case 'x':
		put_integer(t, s, 0, take_unsigned(ap, s->size), conversion == 'u' ? 10 : 16);
		return 1;
	case 'p':
		put_pointer(t, s, va_arg(*ap, void *));
		return 1;
	case 'f':
		put_double(t, s, va_arg(*ap, double));
		return 1;
	case '%':
		put(t, "%", 1);
		return 1;
	}
	return 0;
}

void cdm_text_init(struct cdm_text *t, char *buf, size_t cap)
{
	*t = (struct cdm_text){.buf = buf, .cap = cap};
	if (cap)
		buf[0] = 0;
}

void cdm_textv(struct cdm_text *t, const char *fmt, va_list ap_in)
{
	va_list ap;
	struct spec s;

	va_copy(ap, ap_in);
	while (*fmt) {
		size_t plain = strcspn(fmt, "%");
		put(t, fmt, plain);
		fmt += plain;
		if (!*fmt)
			break;
		const char *p = parse_spec(fmt + 1, &s);
		if (!put_directive(t, &s, *p, &ap)) {
			/* The arguments that follow cannot be found any more: the rest is printed as it is. */
			put(t, fmt, strlen(fmt));
			break;
		}
		fmt = p + 1;
	}
	va_end(ap);
}

void cdm_textf(struct cdm_text *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	cdm_textv(t, fmt, ap);
	va_end(ap);
}

size_t cdm_fmt(char *buf, size_t cap, const char *fmt, ...)
{
	struct cdm_text t;
	va_list ap;
	cdm_text_init(&t, buf, cap);
	va_start(ap, fmt);
	cdm_textv(&t, fmt, ap);
	va_end(ap);
	return t.len;
}

/* Length of the well-formed UTF-8 sequence at p (1-4), or 0. Never reads past a NUL. */
static size_t utf8_length(const unsigned char *p)
{
	if (p[0] < 0x80)
		return 1;
	size_t n = p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)) /* overlong, surrogate */
		return 0;
	if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) /* overlong, beyond U+10FFFF */
		return 0;
	return n;
}

void cdm_text_json(struct cdm_text *t, const char *s)
{
	const unsigned char *p = (const unsigned char *)(s ? s : "");
	put(t, "\"", 1);
	while (*p) {
		size_t n = utf8_length(p);
		if (n == 0 || *p < 0x20) {
			char escape[6] = {
				'\\', 'u', '0', '0', "0123456789abcdef"[*p >> 4], "0123456789abcdef"[*p & 15]};
			put(t, escape, sizeof(escape));
			n = 1;
		} else {
			if (*p == '"' || *p == '\\')
				put(t, "\\", 1);
			put(t, (const char *)p, n);
		}
		p += n;
	}
	put(t, "\"", 1);
}
