/* op/remap.c -- see remap.h. */
#include "op/remap.h"
#include <string.h>
#include "kernel/cpu.h"
#include "op/walk.h"

enum { GRAIN = 1 << 15 };               /* elements a piece should have */

/* lo..hi-1: the longest stretch of the last dimension along which places follow each other, if it is worth a copy.
 * times: along all of it each place follows that before it after so many elements, as where a picture grows by a whole
 * factor; 0: not so. */
struct remap_job {
	const struct onx_remap *m;
	char *to;
	const char *from, *fill;
	size_t width, rows, grain;
	int64_t lo, hi, times;
	bool add;
};

static void find_run(struct remap_job *j)
{
	enum { SHORT = 8 };
	const int64_t n = j->m->dim[j->m->rank - 1], *at = j->m->at[j->m->rank - 1];

	for (int64_t lo = 0, hi; lo < n; lo = hi) {
		for (hi = lo + 1; hi < n && at[lo] >= 0 && at[hi] == at[hi - 1] + 1; )
			hi++;
		if (hi - lo > SHORT && hi - lo > j->hi - j->lo) {
			j->lo = lo;
			j->hi = hi;
		}
	}
}

static void find_times(struct remap_job *j)
{
	const int64_t n = j->m->dim[j->m->rank - 1], *at = j->m->at[j->m->rank - 1];
	int64_t k = 1;

	while (k < n && at[k] == at[0])
		k++;
	if (at[0] < 0 || k == 1 || k == n)
		return;
	for (int64_t i = k; i < n; i++)
		if (at[i] != at[i - k] + 1)
			return;
	j->times = k;
}

/* The indices of a row in all dims but the last. */
struct spot { int64_t at[ONX_RANK]; };

static struct spot seek(const struct onx_remap *m, size_t r)
{
	struct spot s = { { 0 } };

	for (int i = m->rank - 2; i >= 0; i--) {
		s.at[i] = (int64_t)(r % (size_t)m->dim[i]);
		r /= (size_t)m->dim[i];
	}
	return s;
}

/* Sum of the entries of all dims but the last for a row, or -1; then to the next row. */
static int64_t next_row(const struct onx_remap *m, struct spot *s)
{
	int64_t sum = 0;
	bool outside = false;

	for (int i = 0; i < m->rank - 1; i++) {
		const int64_t a = m->at[i][s->at[i]];

		outside |= a < 0;
		sum += a;
	}
	for (int i = m->rank - 2; i >= 0; i--) {
		if (++s->at[i] < m->dim[i])
			break;
		s->at[i] = 0;
	}
	return outside ? -1 : sum;
}

/* t[i] = f[at[i]], or `fill`; and the same where each element of f comes `times` times. */
#define PICK(name, T)                                                                         \
static void name(void *to, const void *from, const int64_t *at, int64_t n, const void *fill)   \
{                                                                                             \
	T *t = to, none = 0;                                                                  \
	const T *f = from;                                                                    \
	if (fill)                                                                             \
		memcpy(&none, fill, sizeof none);                                             \
	for (int64_t i = 0; i < n; i++)                                                       \
		t[i] = at[i] < 0 ? none : f[at[i]];                                           \
}                                                                                             \
ONX_CLONES                                                                                    \
static void name##_times(void *to, const void *from, int64_t n, int64_t times)                 \
{                                                                                             \
	const int64_t whole = n / times;                                                      \
	T *restrict t = to;                                                                   \
	const T *restrict f = from;                                                           \
	if (times == 2)                                                                       \
		for (int64_t i = 0; i < whole; i++)                                           \
			t[2 * i] = t[2 * i + 1] = f[i];                                       \
	else                                                                                  \
		for (int64_t i = 0; i < whole; i++)                                           \
			for (int64_t k = 0; k < times; k++)                                   \
				t[i * times + k] = f[i];                                      \
	for (int64_t i = whole * times; i < n; i++)                                           \
		t[i] = f[whole];                                                              \
}
PICK(pick1, uint8_t)
PICK(pick2, uint16_t)
PICK(pick4, uint32_t)
PICK(pick8, uint64_t)
#undef PICK

static bool has_pick(size_t width)
{
	return width == 1 || width == 2 || width == 4 || width == 8;
}

static void pick(const struct remap_job *j, char *to, const char *from, int64_t lo, int64_t hi)
{
	const int64_t *at = j->m->at[j->m->rank - 1] + lo, n = hi - lo;
	const size_t w = j->width;

	to += (size_t)lo * w;
	if (has_pick(w))
		(w == 1 ? pick1 : w == 2 ? pick2 : w == 4 ? pick4 : pick8)(to, from, at, n, j->fill);
	else
		for (int64_t i = 0; i < n; i++)
			if (at[i] < 0)
				onx_fill(to + (size_t)i * w, 1, j->fill, w);
			else
				memcpy(to + (size_t)i * w, from + (size_t)at[i] * w, w);
}

/* A whole row of a factor. */
static void pick_times(const struct remap_job *j, char *to, const char *from, int64_t n)
{
	const size_t w = j->width;

	(w == 1 ? pick1_times : w == 2 ? pick2_times : w == 4 ? pick4_times : pick8_times)(to, from, n, j->times);
}

/* A row that reads what the one before it read is a copy of that. */
static void remap_piece(void *ctx, size_t piece, int worker)
{
	const struct remap_job *j = ctx;
	const struct onx_remap *m = j->m;
	const int64_t n = m->dim[m->rank - 1], *at = m->at[m->rank - 1];
	const size_t w = j->width, len = (size_t)n * w;
	int64_t last = -1;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->rows, j->grain, piece, &lo, &hi);
	struct spot s = seek(m, lo);
	for (size_t r = lo; r < hi; r++) {
		const int64_t base = next_row(m, &s);
		char *to = j->to + r * len;

		if (base >= 0 && base == last) {
			memcpy(to, to - len, len);
			continue;
		}
		last = base;
		if (base < 0) {
			onx_fill(to, (size_t)n, j->fill, w);
			continue;
		}
		const char *from = j->from + (size_t)base * w;
		if (j->times > 0 && has_pick(w)) {
			pick_times(j, to, from + (size_t)at[0] * w, n);
			continue;
		}
		pick(j, to, from, 0, j->lo);
		if (j->hi > j->lo)
			memcpy(to + (size_t)j->lo * w, from + (size_t)at[j->lo] * w, (size_t)(j->hi - j->lo) * w);
		pick(j, to, from, j->hi, n);
	}
}

void onx_remap_copy(const struct onx_remap *m, void *to, const void *from, const void *fill, size_t width,
		    struct onx_pool *p)
{
	struct remap_job j = { .m = m, .to = to, .from = from, .fill = fill, .width = width };

	if (m->rank == 0) {
		memcpy(to, from, width);
		return;
	}
	const int64_t n = m->dim[m->rank - 1];
	j.rows = (size_t)onx_span(m->dim, 0, m->rank - 1);
	if (n == 0)
		return;
	find_run(&j);
	find_times(&j);
	j.grain = (size_t)(n < GRAIN ? GRAIN / n : 1);
	onx_parallel(p, onx_pieces(j.rows, j.grain), remap_piece, &j);
}

ONX_CLONES static void add_run(real *t, const real *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		t[i] += f[i];
}

/* t[i] += `times` neighbours of f, the last of fewer */
ONX_CLONES static void add_times(real *restrict t, const real *restrict f, size_t n, size_t times)
{
	const size_t whole = n / times;

	if (times == 2)
		for (size_t i = 0; i < whole; i++)
			t[i] += f[2 * i] + f[2 * i + 1];
	else
		for (size_t i = 0; i < whole; i++)
			for (size_t k = 0; k < times; k++)
				t[i] += f[i * times + k];
	for (size_t i = whole * times; i < n; i++)
		t[whole] += f[i];
}

/* rows of a piece: those of some indices of the dimensions that read each place once */
static void remap_back_piece(void *ctx, size_t piece, int worker)
{
	const struct remap_job *j = ctx;
	const struct onx_remap *m = j->m;
	const int64_t n = m->dim[m->rank - 1], *at = m->at[m->rank - 1];
	size_t lo, hi;

	(void)worker;
	onx_piece(j->rows, j->grain, piece, &lo, &hi);
	struct spot s = seek(m, lo);
	for (size_t r = lo; r < hi; r++) {
		const int64_t base = next_row(m, &s);
		const real *dto = (const real *)j->from + r * (size_t)n;
		real *dfrom = (real *)j->to + base;

		if (base < 0)
			continue;
		if (j->times > 0) {
			add_times(dfrom + at[0], dto, (size_t)n, (size_t)j->times);
			continue;
		}
		for (int64_t i = 0; i < j->lo; i++)
			if (at[i] >= 0)
				dfrom[at[i]] += dto[i];
		if (j->hi > j->lo)
			add_run(dfrom + at[j->lo], dto + j->lo, (size_t)(j->hi - j->lo));
		for (int64_t i = j->hi; i < n; i++)
			if (at[i] >= 0)
				dfrom[at[i]] += dto[i];
	}
}

static bool rises(const int64_t *at, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		if (at[i] < 0 || (i > 0 && at[i] <= at[i - 1]))
			return false;
	return true;
}

void onx_remap_back(const struct onx_remap *m, real *dfrom, const real *dto, struct onx_pool *p)
{
	struct remap_job j = { .m = m, .to = (char *)dfrom, .from = (const char *)dto };
	int apart = 0;

	if (m->rank == 0) {
		*dfrom += *dto;
		return;
	}
	while (apart < m->rank - 1 && rises(m->at[apart], m->dim[apart]))
		apart++;
	const size_t n = (size_t)m->dim[m->rank - 1], each = (size_t)onx_span(m->dim, apart, m->rank - 1);
	if (n == 0 || each == 0)
		return;
	j.rows = each * (size_t)onx_span(m->dim, 0, apart);
	find_run(&j);
	find_times(&j);
	j.grain = each * (GRAIN / (each * n) + 1);
	onx_parallel(p, onx_pieces(j.rows, j.grain), remap_back_piece, &j);
}
