/* kernel/fft.c -- see fft.h. */
#include "kernel/fft.h"
#include <string.h>

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

static size_t factor(size_t n)
{
	for (size_t p = 2; p <= n / p; p++)
		if (n % p == 0)
			return p;
	return n;
}

/* a[k][s], s < n / len: transforms of length len of x[s], x[s + n / len], ...; b: of length len * p. */
static void stage(size_t n, size_t len, size_t p, const double *circle, int sign, const double *a, double *b)
{
	const size_t wide = n / len, narrow = wide / p, turn = narrow;  /* circle has n steps, len * p are used */

	for (size_t k = 0; k < len; k++)
		for (size_t q = 0; q < p; q++) {
			double *to = b + 2 * (k + len * q) * narrow;
			memset(to, 0, 2 * narrow * sizeof *to);
			for (size_t r = 0; r < p; r++) {
				const double *from = a + 2 * (k * wide + narrow * r);
				const double *w = circle + 2 * (r * (k + len * q) % (len * p) * turn);
				const double c = w[0], s = -sign * w[1];
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
		double *t = a;

		stage(n, len, p, circle, sign, a, b);
		a = b;
		b = t;
		len *= p;
	}
	if (a != x)
		memcpy(x, a, 2 * n * sizeof *x);
}
