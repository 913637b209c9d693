/* kernel/last_norm.c -- rows of x on their way into a convolution; see the header.  The loops are those of
 * norm_last.c, to the bit. */
#include "kernel/fuse_row.h"
#include "kernel/last_norm_i.h"
#include "kernel/norm_last_i.h"

/* y = f((x - m) * a + b). */
ONX_INLINE void norm(const struct onx_fuse *f, const real *x, const real *m, const real *a, const real *b, size_t n,
		     real *y)
{
	struct onx_bn_band band;

	if (onx_bn_banded(f)) {
		onx_bn_band_of(f, &band);
		onx_bn_banded_row(&band, x, m, a, b, NULL, n, y);
		return;
	}
	ONX_ALIKE
	for (size_t i = 0; i < n; i++)
		y[i] = (x[i] - m[i]) * a[i] + b[i];
	onx_fuse_row(f, y, n);
}

ONX_CLONES
void onx_last_norm_row(const struct ONX_R(onx_last_norm) *p, const real *x, size_t c, size_t n, real *to)
{
	norm(&p->f, x, p->m + c, p->a + c, p->b + c, n, to);
}

ONX_CLONES
void onx_last_norm_rows(const struct ONX_R(onx_last_norm) *p, const real *x, size_t pitch, size_t c, size_t n,
			size_t rows, real *to, size_t to_pitch)
{
	const real *const m = p->m + c, *const a = p->a + c, *const b = p->b + c;
	struct onx_bn_band band;

	if (!onx_bn_banded(&p->f)) {
		for (; rows; rows--, x += pitch, to += to_pitch)
			norm(&p->f, x, m, a, b, n, to);
		return;
	}
	onx_bn_band_of(&p->f, &band);
	for (; rows; rows--, x += pitch, to += to_pitch)
		onx_bn_banded_row(&band, x, m, a, b, NULL, n, to);
}

ONX_CLONES
void onx_last_shift_rows(const struct ONX_R(onx_last_shift) *p, const real *dy, size_t at, size_t pitch, size_t c,
			 size_t n, size_t rows, real *to, size_t to_pitch)
{
	const real *restrict m = p->m + c, *restrict e = p->e + c, *restrict d = p->d + c, *y = p->y + at;

	for (; rows; rows--, dy += pitch, y += pitch, to += to_pitch) {
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			to[i] = dy[i] + ((y[i] - m[i]) * e[i] + d[i]);
	}
}

/* As wide as the stripes of norm_last.c. */
static struct onx_stripes stripes_of(size_t ch)
{
	return onx_stripes_of(1, ch);
}

size_t onx_last_spread_bytes(size_t ch)
{
	const struct onx_stripes s = stripes_of(ch);

	return (3 * onx_bn_room(&s) * sizeof(real) + 63) / 64 * 64;
}

void onx_last_spread_of(const struct ONX_R(onx_last_norm) *p, size_t ch, void *to, struct ONX_R(onx_last_spread) *s)
{
	const struct onx_stripes t = stripes_of(ch);

	s->m = onx_bn_spread(&t, p->m, NULL, onx_bn_param(&t, to, 0));
	s->a = onx_bn_spread(&t, p->a, NULL, onx_bn_param(&t, to, 1));
	s->b = onx_bn_spread(&t, p->b, NULL, onx_bn_param(&t, to, 2));
	s->width = t.width;
	s->f = p->f;
}

ONX_CLONES
void onx_last_norm_line(const struct ONX_R(onx_last_spread) *s, const real *x, size_t n, real *to)
{
	for (size_t i = 0, len; i < n; i += len) {
		len = n - i < s->width ? n - i : s->width;
		norm(&s->f, x + i, s->m, s->a, s->b, len, to + i);
	}
}
