/* Arithmetic of complex elements: pairs of lanes (re, im). */
#pragma once

#define COMPLEX 1
#define TILE_COLUMNS (REGISTERS / 8)

typedef struct {
	T re, im;
} E;
typedef struct {
	V re, im;
} B; /* an element in all places of a vector */
typedef struct {
	V re, im;
} ACC; /* a sum of products on its way: a times re(b), and a times im(b) */
typedef struct {
	V re, im;
} CONJ; /* the signs that turn an ACC into the sum: which factors are conjugated */

FN E e_zero(void)
{
	return (E){0, 0};
}

FN E e_one(void)
{
	return (E){1, 0};
}

FN bool e_is0(E x)
{
	return x.re == 0 && x.im == 0;
}

FN bool e_is1(E x)
{
	return x.re == 1 && x.im == 0;
}

FN E e_from_real(T x)
{
	return (E){x, 0};
}

FN E e_conj(E x)
{
	return (E){x.re, -x.im};
}

FN E e_real(E x)
{
	return (E){x.re, 0};
}

FN T e_re(E x)
{
	return x.re;
}

FN E e_mul(E a, E b)
{
	return (E){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

FN E e_add(E a, E b)
{
	return (E){a.re + b.re, a.im + b.im};
}

FN T e_abs1(E x)
{
	return t_abs(x.re) + t_abs(x.im);
}

/* Smith's way, in which nothing overflows before its time. */
FN E e_div(E a, E b)
{
	if (t_abs(b.re) >= t_abs(b.im)) {
		T ratio = b.im / b.re, den = b.re + b.im * ratio;

		return (E){(a.re + a.im * ratio) / den, (a.im - a.re * ratio) / den};
	} else {
		T ratio = b.re / b.im, den = b.im + b.re * ratio;

		return (E){(a.re * ratio + a.im) / den, (a.im * ratio - a.re) / den};
	}
}

FN E e_recip(E x)
{
	return e_div((E){1, 0}, x);
}

/* Its reciprocal is finite, and what a division gives. */
FN bool e_safe(E x)
{
	return t_abs(x.re) >= SAFE_MIN || t_abs(x.im) >= SAFE_MIN;
}

FN V v_load(const E *p)
{
	return v_loadl(&p->re);
}

FN void v_store(E *p, V v)
{
	v_storel(&p->re, v);
}

FN B b_load(const E *p)
{
	return (B){v_bcast(&p->re), v_bcast(&p->im)};
}

FN B b_set(E x)
{
	return (B){v_set1(x.re), v_set1(x.im)};
}

FN B b_conj_if(B b, bool conj)
{
	return (B){b.re, v_xor(b.im, v_signs(conj, conj))};
}

FN V v_mul(V a, B b)
{
	return v_fmaddsub(a, b.re, v_swap(a) * b.im);
}

FN V v_mac(V c, V a, B b)
{
	return c + v_mul(a, b);
}

FN V v_msub(V c, V a, B b)
{
	return c - v_mul(a, b);
}

FN V v_abs1(V v)
{
	return v_abs(v) + v_swap(v_abs(v));
}

FN V v_conj(V v)
{
	return v_xor(v, v_signs(false, true));
}

FN E v_sum(V v)
{
	E sum;

	v_hsum2(&sum.re, &sum.im, v);
	return sum;
}

/*	   a b	= (ar br - ai bi,  ai br + ar bi)	conj(a) b = (ar br + ai bi, -ai br + ar bi)
 *	a conj(b) = (ar br + ai bi, ai br - ar bi)	both	  = (ar br - ai bi, -ai br - ar bi)	*/
FN CONJ conj_set(bool a, bool b)
{
	return (CONJ){v_signs(false, a), v_signs(a == b, b)};
}

FN CONJ conj_none(void)
{
	return conj_set(false, false);
}

FN ACC acc_zero(void)
{
	return (ACC){v_zero(), v_zero()};
}

FN ACC acc_mac(ACC acc, V a, const E *b)
{
	return (ACC){v_fma(a, v_bcast(&b->re), acc.re), v_fma(a, v_bcast(&b->im), acc.im)};
}

FN ACC acc_add(ACC a, ACC b)
{
	return (ACC){a.re + b.re, a.im + b.im};
}

FN V acc_value(ACC acc, CONJ conj)
{
	return v_xor(acc.re, conj.re) + v_xor(v_swap(acc.im), conj.im);
}

/* For sums over the lanes: re holds (ar br, ai bi), im holds (ar bi, ai br). */
FN ACC acc_dot(ACC acc, V a, V b)
{
	return (ACC){v_fma(a, b, acc.re), v_fma(a, v_swap(b), acc.im)};
}

FN E acc_sum(ACC acc, bool conj)
{
	T rr, ii, ri, ir;

	v_hsum2(&rr, &ii, acc.re);
	v_hsum2(&ri, &ir, acc.im);
	return conj ? (E){rr + ii, ri - ir} : (E){rr - ii, ri + ir};
}

/* r + beta y; beta = 1 multiplies nothing, so that an infinite part of y stays alone. */
FN V v_plus(V r, V y, E beta)
{
	if (e_is1(beta))
		return r + y;
	return v_mac(r, y, b_set(beta));
}

FN E e_plus(E r, E y, E beta)
{
	if (e_is1(beta))
		return e_add(r, y);
	return e_add(r, e_mul(beta, y));
}
