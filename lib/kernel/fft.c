/* kernel/fft.c -- see fft.h. */
#include "kernel/fft.h"
#include <string.h>
#include "kernel/cpu.h"

enum { MOST = 31 };             /* the largest factor whose butterfly is held on the stack */

/* A complex number in a register that every instruction set has. */
typedef double pair __attribute__((vector_size(16)));

ONX_INLINE pair load(const double *from)
{
	pair v;

	memcpy(&v, from, sizeof v);
	return v;
}

ONX_INLINE void store(double *to, pair v)
{
	memcpy(to, &v, sizeof v);
}

/* v (c + i s) */
ONX_INLINE pair times(pair v, double c, double s)
{
	const pair real_part = { c, c }, other = { -s, s }, turned = { v[1], v[0] };

	return v * real_part + turned * other;
}

void onx_fft_circle(size_t n, double *circle)
{
	for (size_t i = 0; i < n; i++) {
		/* By eighths of the circle, so that 1, -1, i and -i come out exact. */
		const size_t eighth = 8 * i / n;
		const double rest = (double)(8 * i - eighth * n) / (double)n * 0.78539816339744830962;
		const double odd = (double)n - (double)(8 * i - eighth * n);
		const double mirror = odd / (double)n * 0.78539816339744830962;
		const double c[8] = { cos(rest), sin(mirror), -sin(rest), -cos(mirror), -cos(rest), -sin(mirror),
				      sin(rest), cos(mirror) };
		const double s[8] = { sin(rest), cos(mirror), cos(rest), sin(mirror), -sin(rest), -cos(mirror),
				      -cos(rest), -sin(mirror) };
		circle[2 * i] = c[eighth];
		circle[2 * i + 1] = -s[eighth];
	}
}

/* 4 rather than 2 twice: a stage passes all numbers once. */
static size_t factor(size_t n)
{
	if (n % 4 == 0)
		return 4;
	for (size_t p = 2; p <= n / p; p++)
		if (n % p == 0)
			return p;
	return n;
}

/* a[k][s], s < n / len: transforms of length len of x[s], x[s + n / len], ...; b: of length len * p. */
struct stage { size_t n, len, p, narrow; const double *circle; int sign; const double *a; double *b; };

/* exp(sign 2 pi i r k / (len p)), which element r of the k-th transforms is multiplied by. */
ONX_INLINE void twist(const struct stage *g, size_t k, size_t r, double *c, double *s)
{
	const double *w = g->circle + 2 * (r * k % (g->len * g->p) * g->narrow);

	*c = w[0];
	*s = -g->sign * w[1];
}

ONX_CLONES
static void by_two(const struct stage *g)
{
	const size_t narrow = g->narrow, far = 2 * g->len * narrow;

	for (size_t k = 0; k < g->len; k++) {
		const double *from = g->a + 4 * k * narrow;
		double *to = g->b + 2 * k * narrow, c, s;

		twist(g, k, 1, &c, &s);
		for (size_t i = 0; i < 2 * narrow; i += 2) {
			const pair u = load(from + i), v = times(load(from + 2 * narrow + i), c, s);
			store(to + i, u + v);
			store(to + far + i, u - v);
		}
	}
}

ONX_CLONES
static void by_four(const struct stage *g)
{
	const size_t narrow = g->narrow, far = 2 * g->len * narrow, next = 2 * narrow;

	for (size_t k = 0; k < g->len; k++) {
		const double *from = g->a + 8 * k * narrow;
		double *to = g->b + 2 * k * narrow, c[4], s[4];

		for (size_t r = 1; r < 4; r++)
			twist(g, k, r, &c[r], &s[r]);
		for (size_t i = 0; i < next; i += 2) {
			const pair u = load(from + i), v = times(load(from + next + i), c[1], s[1]);
			const pair w = times(load(from + 2 * next + i), c[2], s[2]);
			const pair x = times(load(from + 3 * next + i), c[3], s[3]);
			const pair even = u + w, odd = v + x, rest = u - w, turned = times(v - x, 0, g->sign);
			store(to + i, even + odd);
			store(to + far + i, rest + turned);
			store(to + 2 * far + i, even - odd);
			store(to + 3 * far + i, rest - turned);
		}
	}
}

/* What the butterflies of an odd factor multiply by: the roots of 1 [q][r], and the twists of one k. */
struct odd { double re[MOST / 2 + 1][MOST / 2 + 1], im[MOST / 2 + 1][MOST / 2 + 1], c[MOST], s[MOST]; };

/* Elements r and p - r are added and subtracted first, so that sines and cosines meet real factors. */
ONX_INLINE void odd_one(const struct odd *o, size_t p, const double *from, size_t next, double *to, size_t far,
			double sign)
{
	const size_t half = p / 2;
	pair sum[MOST / 2 + 1], rest[MOST / 2 + 1], all = load(from);

	sum[0] = all;
	for (size_t r = 1; r <= half; r++) {
		const pair u = times(load(from + r * next), o->c[r], o->s[r]);
		const pair v = times(load(from + (p - r) * next), o->c[p - r], o->s[p - r]);
		sum[r] = u + v;
		rest[r] = u - v;
		all += sum[r];
	}
	store(to, all);
	for (size_t q = 1; q <= half; q++) {
		pair u = sum[0], v = { 0, 0 };
		for (size_t r = 1; r <= half; r++) {
			u += sum[r] * (pair){ o->re[q][r], o->re[q][r] };
			v += rest[r] * (pair){ o->im[q][r], o->im[q][r] };
		}
		v = times(v, 0, -sign);
		store(to + q * far, u + v);
		store(to + (p - q) * far, u - v);
	}
}

ONX_INLINE void odd_stage(const struct stage *g, const size_t p)
{
	const size_t narrow = g->narrow, far = 2 * g->len * narrow, next = 2 * narrow;
	struct odd o;

	for (size_t q = 1; q <= p / 2; q++)
		for (size_t r = 1; r <= p / 2; r++) {
			o.re[q][r] = g->circle[2 * (r * q % p * (g->n / p))];
			o.im[q][r] = g->circle[2 * (r * q % p * (g->n / p)) + 1];
		}
	for (size_t k = 0; k < g->len; k++) {
		for (size_t r = 1; r < p; r++)
			twist(g, k, r, &o.c[r], &o.s[r]);
		for (size_t i = 0; i < next; i += 2)
			odd_one(&o, p, g->a + k * p * next + i, next, g->b + k * next + i, far, g->sign);
	}
}

ONX_CLONES
static void by_odd(const struct stage *g)
{
	if (g->p == 3)
		odd_stage(g, 3);
	else if (g->p == 5)
		odd_stage(g, 5);
	else
		odd_stage(g, g->p);
}

/* A large prime: the sums as they stand. */
static void by_any(const struct stage *g)
{
	const size_t len = g->len, p = g->p, narrow = g->narrow;

	for (size_t k = 0; k < len; k++)
		for (size_t q = 0; q < p; q++) {
			double *to = g->b + 2 * (k + len * q) * narrow, c, s;
			memset(to, 0, 2 * narrow * sizeof *to);
			for (size_t r = 0; r < p; r++) {
				const double *from = g->a + 2 * narrow * (k * p + r);
				twist(g, k + len * q, r, &c, &s);
				for (size_t i = 0; i < narrow; i++) {
					to[2 * i] += from[2 * i] * c - from[2 * i + 1] * s;
					to[2 * i + 1] += from[2 * i] * s + from[2 * i + 1] * c;
				}
			}
		}
}

void onx_fft(size_t n, const double *circle, int sign, double *x, double *spare)
{
	double *a = x, *b = spare;

	for (size_t len = 1; len < n; ) {
		const size_t p = factor(n / len);
		const struct stage g = { n, len, p, n / len / p, circle, sign, a, b };
		double *t = a;

		(p == 2 ? by_two : p == 4 ? by_four : p <= MOST ? by_odd : by_any)(&g);
		a = b;
		b = t;
		len *= p;
	}
	if (a != x)
		memcpy(x, a, 2 * n * sizeof *x);
}
