/* kernel/gather_rows.c -- where the rows of a gathered product (gather.h) lie: pointers to the pixels under a window,
 * offsets of the pixels that they make. */
#include "kernel/gather.h"
#include <string.h>

typedef struct ONX_R(onx_gather) gather;

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t volume(const size_t *d) { return d[0] * d[1] * d[2]; }

struct place { size_t n, o[3]; };

static struct place place_of(const gather *g, size_t row)
{
	const size_t *d = g->s.grid;

	return (struct place){ row / (d[0] * d[1] * d[2]),
			       { row / (d[1] * d[2]) % d[0], row / d[2] % d[1], row % d[2] } };
}

static void step_on(const gather *g, struct place *p)
{
	for (int d = 2; d >= 0; d--) {
		if (++p->o[d] < g->s.grid[d])
			return;
		p->o[d] = 0;
	}
	p->n++;
}

/* A merged span that starts at position i of a line: in place, or copied with zeros around it. */
static const real *merged_span(const gather *g, const real *line, int64_t i, real **stage)
{
	const int64_t n = (int64_t)g->s.src[2], taps = (int64_t)g->s.taps[2];
	const int64_t lo = i < 0 ? (-i < taps ? -i : taps) : 0, hi = i + taps > n ? (n - i > lo ? n - i : lo) : taps;
	real *const to = *stage;

	if (i >= 0 && i + taps <= n)
		return line + (size_t)i * g->c;
	memset(to, 0, g->len * sizeof *to);
	if (hi > lo)
		memcpy(to + (size_t)lo * g->c, line + (size_t)(i + lo) * g->c, (size_t)(hi - lo) * g->c * sizeof *to);
	*stage += g->len;
	return to;
}

/* The spans of one row, `of` pointers apart. */
static void row_spans(const gather *g, const real *image, const struct place *p, size_t of, const real *zeros,
		      real **stage, const real **at)
{
	const size_t pitch = g->groups * g->c;
	int64_t i[3], s[3];

	for (int d = 0; d < 3; d++)
		s[d] = (int64_t)p->o[d] * g->s.mul[d] + g->s.base[d];
	i[0] = s[0];
	for (size_t t0 = g->s.taps[0]; t0; t0--, i[0] += g->s.inc[0]) {
		i[1] = s[1];
		for (size_t t1 = g->s.taps[1]; t1; t1--, i[1] += g->s.inc[1]) {
			const bool in = i[0] >= 0 && i[0] < (int64_t)g->s.src[0] && i[1] >= 0 &&
					i[1] < (int64_t)g->s.src[1];
			const size_t at_line = in ? (size_t)(i[0] * (int64_t)g->s.src[1] + i[1]) * g->s.src[2] : 0;
			const real *line = in ? image + at_line * pitch : zeros;

			if (g->merged) {
				*at = in ? merged_span(g, line, s[2], stage) : zeros;
				at += of;
				continue;
			}
			i[2] = s[2];
			for (size_t t2 = g->s.taps[2]; t2; t2--, i[2] += g->s.inc[2], at += of)
				*at = in && i[2] >= 0 && i[2] < (int64_t)g->s.src[2] ? line + (size_t)i[2] * pitch
										  : zeros;
		}
	}
}

/* Positions [lo, hi) of each dimension whose taps are all inside. */
static void inside_of(const gather *g, size_t *lo, size_t *hi)
{
	for (int d = 0; d < 3; d++) {
		const size_t last = g->s.taps[d] ? g->s.taps[d] - 1 : 0;

		for (lo[d] = 0, hi[d] = g->s.grid[d]; lo[d] < hi[d]; lo[d]++)
			if (onx_slide_in(&g->s, d, lo[d], 0) && onx_slide_in(&g->s, d, lo[d], last))
				break;
		while (hi[d] > lo[d] && !(onx_slide_in(&g->s, d, hi[d] - 1, 0) &&
					  onx_slide_in(&g->s, d, hi[d] - 1, last)))
			hi[d]--;
	}
}

/* row_spans() of n such positions in a line, whose pointers lie side by side. */
ONX_INLINE void inner_spans(const gather *g, const real *image, const struct place *p, size_t n, size_t of,
			    const real **at)
{
	const int64_t pitch = (int64_t)(g->groups * g->c), line = (int64_t)g->s.src[2] * pitch;
	const int64_t area = (int64_t)g->s.src[1] * line, step = g->s.mul[2] * pitch;
	const size_t taps = g->merged ? 1 : g->s.taps[2];
	int64_t i = ((int64_t)p->o[0] * g->s.mul[0] + g->s.base[0]) * area +
		    ((int64_t)p->o[1] * g->s.mul[1] + g->s.base[1]) * line +
		    ((int64_t)p->o[2] * g->s.mul[2] + g->s.base[2]) * pitch;

	for (size_t t0 = g->s.taps[0]; t0; t0--, i += g->s.inc[0] * area) {
		int64_t j = i;

		for (size_t t1 = g->s.taps[1]; t1; t1--, j += g->s.inc[1] * line) {
			int64_t k = j;

			for (size_t t2 = taps; t2; t2--, k += g->s.inc[2] * pitch, at += of) {
				const real *to = image + k;

				for (size_t r = 0; r < n; r++, to += step)
					at[r] = to;
			}
		}
	}
}

void onx_gather_rows(const gather *g, const real *x, size_t group, size_t r0, size_t r1, size_t of,
		     const real *zeros, real *stage, const real **at)
{
	const size_t image = volume(g->s.src) * g->groups * g->c;
	struct place p = place_of(g, r0);
	size_t r = 0, lo[3], hi[3];

	if (g->flat)
		for (; r < r1 - r0; r++)
			at[r] = x + (r0 + r) * g->groups * g->c + group * g->c;
	inside_of(g, lo, hi);
	for (size_t n; r < r1 - r0; r += n, p.o[2] += n - 1, step_on(g, &p)) {
		const real *const from = x + p.n * image + group * g->c;
		const real **const to = at + r / of * g->spans * of + r % of;

		n = 1;
		if (p.o[2] >= lo[2] && p.o[2] < hi[2] && p.o[1] >= lo[1] && p.o[1] < hi[1] && p.o[0] >= lo[0] &&
		    p.o[0] < hi[0]) {
			n = min_z(min_z(hi[2] - p.o[2], r1 - r0 - r), of - r % of);
			inner_spans(g, from, &p, n, of, to);
		} else {
			row_spans(g, from, &p, of, zeros, &stage, to);
		}
	}
	for (; r % of; r++)
		for (size_t s = 0; s < g->spans; s++)
			at[(r / of * g->spans + s) * of + r % of] = zeros;
}

void onx_gather_made(const gather *g, size_t pitch, size_t group, size_t r0, size_t r1, size_t *row)
{
	struct place p = place_of(g, r0);

	for (size_t r = r0; g->even && r < r1; r++)
		*row++ = r * pitch + group * g->m;
	for (size_t r = r0; !g->even && r < r1; r++, step_on(g, &p)) {
		size_t at = p.n;

		for (int d = 0; d < 3; d++)
			at = at * g->s.dst[d] + g->s.first[d] + p.o[d] * g->s.step[d];
		*row++ = at * pitch + group * g->m;
	}
}
