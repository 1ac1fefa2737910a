/* Arithmetic of real elements. */
#pragma once

#define COMPLEX 0
#define TILE_COLUMNS (REGISTERS / 4)

typedef T E;
typedef V B;   /* an element in all places of a vector */
typedef V ACC; /* a sum of products on its way */
/* Which factors are conjugated. Not for initializers: gcc 12 may clear the other members after it has set them, where an empty
 * structure is initialized by a function's result. */
typedef struct {
} CONJ;

FN E e_zero(void)
{
	return 0;
}

FN E e_one(void)
{
	return 1;
}

FN bool e_is0(E x)
{
	return x == 0;
}

FN bool e_is1(E x)
{
	return x == 1;
}

FN E e_from_real(T x)
{
	return x;
}

FN E e_conj(E x)
{
	return x;
}

FN E e_real(E x)
{
	return x;
}

FN T e_re(E x)
{
	return x;
}

FN E e_mul(E a, E b)
{
	return a * b;
}

FN E e_add(E a, E b)
{
	return a + b;
}

FN E e_div(E a, E b)
{
	return a / b;
}

FN E e_recip(E x)
{
	return 1 / x;
}

FN T e_abs1(E x)
{
	return t_abs(x);
}
/* Its reciprocal is finite, and what a division gives. */
FN bool e_safe(E x)
{
	return t_abs(x) >= SAFE_MIN;
}

FN V v_load(const E *p)
{
	return v_loadl(p);
}

FN void v_store(E *p, V v)
{
	v_storel(p, v);
}

FN B b_load(const E *p)
{
	return v_bcast(p);
}

FN B b_set(E x)
{
	return v_set1(x);
}

FN B b_conj_if(B b, bool conj)
{
	return (void)conj, b;
}

FN V v_mul(V a, B b)
{
	return a * b;
}

FN V v_mac(V c, V a, B b)
{
	return v_fma(a, b, c);
}

FN V v_msub(V c, V a, B b)
{
	return v_fnma(a, b, c);
}

FN V v_abs1(V v)
{
	return v_abs(v);
}

FN V v_conj(V v)
{
	return v;
}

FN E v_sum(V v)
{
	return v_hsum(v);
}

FN CONJ conj_none(void)
{
	return (CONJ){};
}

FN CONJ conj_set(bool a, bool b)
{
	return (void)a, (void)b, (CONJ){};
}

FN ACC acc_zero(void)
{
	return v_zero();
}

FN ACC acc_mac(ACC acc, V a, const E *b)
{
	return v_fma(a, v_bcast(b), acc);
}

FN ACC acc_dot(ACC acc, V a, V b)
{
	return v_fma(a, b, acc);
}

FN ACC acc_add(ACC a, ACC b)
{
	return a + b;
}

FN V acc_value(ACC acc, CONJ conj)
{
	return (void)conj, acc;
}

FN E acc_sum(ACC acc, bool conj)
{
	return (void)conj, v_hsum(acc);
}

/* r + beta y */
FN V v_plus(V r, V y, E beta)
{
	return v_fma(y, v_set1(beta), r);
}

FN E e_plus(E r, E y, E beta)
{
	return r + beta * y;
}
