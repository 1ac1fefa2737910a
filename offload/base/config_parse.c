#include "offload/base/config_parse.h"

#include <errno.h>
#include <string.h>

/* value = mantissa / 10^places, exactly. */
struct decimal {
	uint64_t mantissa;
	int places;
};

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static uint64_t power_of_10(int n)
{
	uint64_t v = 1;
	while (n-- > 0)
		v *= 10;
	return v;
}

/* Reads digits[.digits] whose digits make a number below 2^64, at most 18 of them after the point; else NULL. */
static const char *parse_decimal(const char *s, struct decimal *d)
{
	int point = 0, any = 0;

	*d = (struct decimal){0, 0};
	for (;; s++) {
		if (*s == '.' && !point) {
			point = 1;
			continue;
		}
		if (!is_digit(*s))
			break;
		if (__builtin_mul_overflow(d->mantissa, 10, &d->mantissa) ||
		    __builtin_add_overflow(d->mantissa, *s - '0', &d->mantissa) || d->places == 18)
			return NULL;
		d->places += point;
		any = 1;
	}
	return any ? s : NULL;
}

/* d * by / over, or -EINVAL when it does not fit. */
static int scale(const struct decimal *d, uint64_t by, uint64_t over, uint64_t *out)
{
	unsigned __int128 product = (unsigned __int128)d->mantissa * by;
	product /= power_of_10(d->places);
	product /= over;
	if (product > UINT64_MAX)
		return -EINVAL;
	*out = (uint64_t)product;
	return 0;
}

/* K M G T, then B or iB; *shift is the power of two. */
static const char *parse_unit(const char *s, int *shift)
{
	static const char units[] = "kKmMgGtT";
	const char *u = *s ? strchr(units, *s) : NULL;

	*shift = 0;
	if (u) {
		*shift = 10 * (int)((u - units) / 2 + 1);
		s++;
		if (*s == 'i' && (s[1] == 'B' || s[1] == 'b'))
			s++;
	}
	if (*s == 'B' || *s == 'b')
		s++;
	return s;
}

int cdm_parse_size(const char *s, uint64_t *out)
{
	struct decimal d;
	int shift;

	s = parse_decimal(s, &d);
	if (!s)
		return -EINVAL;
	s = parse_unit(s, &shift);
	return *s ? -EINVAL : scale(&d, (uint64_t)1 << shift, 1, out);
}

int cdm_parse_share(const char *s, uint64_t total, uint64_t *out)
{
	struct decimal d;
	const char *rest = parse_decimal(s, &d);

	if (!rest || rest[0] != '%' || rest[1])
		return cdm_parse_size(s, out);
	if (d.mantissa == 0 || d.mantissa > 100 * (unsigned __int128)power_of_10(d.places))
		return -EINVAL;
	return scale(&d, total, 100, out);
}

static double scaled_by_10(double v, int exponent)
{
	for (; exponent > 0 && v <= 1e308; exponent--)
		v *= 10;
	for (; exponent < 0 && v > 0; exponent++)
		v /= 10;
	return v;
}

/* [e[+-]digits] */
static const char *parse_exponent(const char *s, int *exponent)
{
	*exponent = 0;
	if (*s != 'e' && *s != 'E')
		return s;
	int negative = s[1] == '-';
	s += 1 + (s[1] == '-' || s[1] == '+');
	if (!is_digit(*s))
		return NULL;
	for (; is_digit(*s); s++)
		*exponent = *exponent < 10000 ? *exponent * 10 + (*s - '0') : *exponent;
	*exponent = negative ? -*exponent : *exponent;
	return s;
}

int cdm_parse_number(const char *s, double *out)
{
	struct decimal d;
	int exponent;

	s = parse_decimal(s, &d);
	if (s)
		s = parse_exponent(s, &exponent);
	if (!s || *s)
		return -EINVAL;
	double v = d.mantissa ? scaled_by_10((double)d.mantissa, exponent - d.places) : 0;
	if (v > 1e308)
		return -EINVAL;
	*out = v;
	return 0;
}

static int min3(int a, int b, int c)
{
	int m = a < b ? a : b;
	return m < c ? m : c;
}

int cdm_edit_distance(const char *a, const char *b)
{
	int row[64];
	int la = (int)strnlen(a, 63), lb = (int)strnlen(b, 63);

	for (int j = 0; j <= lb; j++)
		row[j] = j;
	for (int i = 1; i <= la; i++) {
		int diagonal = row[0];
		row[0] = i;
		for (int j = 1; j <= lb; j++) {
			int above = row[j];
			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[lb];
}
