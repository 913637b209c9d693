/* op/contract.c -- see the header. */
#include "op/contract.h"
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/gemm.h"
#include "kernel/lanes.h"
#include "op/bulk.h"

enum { RUN = 256, PIECE_WORK = 1 << 14, PRODUCT_TERMS = 4, PRODUCT_WORK = 64 };

/* ---- labels ----------------------------------------------------------------------------------------- */

/* Label `in` is the rest of label `out` in every operand. */
static bool merges(const struct onx_contract *s, int out, int in)
{
	bool yes = s->to[out] == s->to[in] * s->dim[in];

	for (int f = 0; f < s->n_factor; f++)
		yes &= s->by[f][out] == s->by[f][in] * s->dim[in];
	return yes;
}

static void drop(struct onx_contract *s, int l)
{
	const size_t rest = (size_t)(s->n - l - 1);

	memmove(&s->dim[l], &s->dim[l + 1], rest * sizeof s->dim[0]);
	memmove(&s->to[l], &s->to[l + 1], rest * sizeof s->to[0]);
	for (int f = 0; f < s->n_factor; f++)
		memmove(&s->by[f][l], &s->by[f][l + 1], rest * sizeof s->by[f][0]);
	s->n--;
	s->kept -= l < s->kept;
}

static void merge_labels(struct onx_contract *s)
{
	for (bool again = true; again; ) {
		again = false;
		for (int out = 0; out < s->n && !again; out++)
			for (int in = 0; in < s->n && !again; in++) {
				if (in == out || (in < s->kept) != (out < s->kept) || !merges(s, out, in))
					continue;
				s->dim[in] *= s->dim[out];
				drop(s, out);
				again = true;
			}
	}
}

/* ---- as matrix products ----------------------------------------------------------------------------- */

/* Labels of rows, columns and terms, -1: none, of C = A B with A and B factors a and 1 - a. */
struct product { int a, row, col, term; double work; struct onx_mat mat; };

static int64_t stride(const int64_t *of, int l) { return l < 0 ? 0 : of[l]; }
static size_t size_of(const struct onx_contract *s, int l) { return l < 0 ? 1 : (size_t)s->dim[l]; }

/* Whether strides let these labels be those of a product; then p's matrices. */
static bool fits(const struct onx_contract *s, struct product *p)
{
	const int64_t *a = s->by[p->a], *b = s->by[1 - p->a];
	struct onx_mat *const g = &p->mat;
	const bool a_terms = p->term < 0 || a[p->term] == 1, b_cols = p->col < 0 || b[p->col] == 1;

	*g = (struct onx_mat){ size_of(s, p->row), size_of(s, p->col), size_of(s, p->term), .ta = !a_terms,
			       .tb = !b_cols };
	g->lda = (size_t)stride(a, a_terms ? p->row : p->term);
	g->ldb = (size_t)stride(b, b_cols ? p->term : p->col);
	g->ldc = (size_t)stride(s->to, p->row);
	p->work = (double)g->m * (double)g->n * (double)g->k;
	return (p->col < 0 || s->to[p->col] == 1) && (a_terms || p->row < 0 || a[p->row] == 1) &&
	       (b_cols || p->term < 0 || b[p->term] == 1);
}

/* Labels that stand in the target, factor f and the other one as asked; none: -1 alone.  Returns how many. */
static int labels_of(const struct onx_contract *s, int f, bool kept, bool own, bool other, int *label)
{
	int n = 0;

	for (int l = kept ? 0 : s->kept; l < (kept ? s->kept : s->n); l++)
		if ((s->by[f][l] != 0) == own && (s->by[1 - f][l] != 0) == other)
			label[n++] = l;
	if (n == 0)
		label[n++] = -1;
	return n;
}

/* The largest product among the labels. */
static bool find_product(const struct onx_contract *s, struct product *best)
{
	int row[ONX_LABELS], col[ONX_LABELS], term[ONX_LABELS];
	const int terms = labels_of(s, 0, false, true, true, term);

	best->work = 0;
	for (int a = 0; a < 2; a++) {
		const int rows = labels_of(s, a, true, true, false, row);
		const int cols = labels_of(s, a, true, false, true, col);

		for (int i = 0; i < rows * cols * terms; i++) {
			struct product p = { .a = a, .row = row[i % rows], .col = col[i / rows % cols],
					     .term = term[i / rows / cols] };

			if (fits(s, &p) && p.work > best->work)
				*best = p;
		}
	}
	return best->work >= PRODUCT_WORK && best->mat.k >= PRODUCT_TERMS;
}

/* The other labels: of the target outer ones, the rest is summed over. */
static bool batch_of(const struct onx_contract *s, const struct product *p, struct onx_batch *b)
{
	const int64_t *of_a = s->by[p->a], *of_b = s->by[1 - p->a];

	memset(b, 0, sizeof *b);
	for (int l = 0; l < s->n; l++) {
		if (l == p->row || l == p->col || l == p->term)
			continue;
		if (b->n_outer == ONX_BATCH_RANK || b->n_inner == ONX_BATCH_RANK)
			return false;
		const int o = b->n_outer, i = b->n_inner;
		if (l < s->kept) {
			b->outer[o] = (size_t)s->dim[l];
			b->outer_a[o] = (size_t)of_a[l];
			b->outer_b[o] = (size_t)of_b[l];
			b->outer_c[o] = (size_t)s->to[l];
			b->n_outer++;
		} else {
			b->inner[i] = (size_t)s->dim[l];
			b->inner_a[i] = (size_t)of_a[l];
			b->inner_b[i] = (size_t)of_b[l];
			b->n_inner++;
		}
	}
	return true;
}

/* ---- as loops --------------------------------------------------------------------------------------- */

struct loops {
	const struct onx_contract *s;
	int along;                      /* the label of the runs: in the target, or summed over */
	bool across;                    /* it is in the target */
	size_t chunks, grain;           /* runs of that label, if it is in the target; runs of a piece */
};

/* What a run costs, each element of it, and what is set up for it shared among its elements. */
static double cost(const struct onx_contract *s, int l)
{
	const double len = (double)(s->dim[l] < RUN ? s->dim[l] : RUN);
	double each = 1 + s->n_factor;

	for (int f = 0; f < s->n_factor; f++)
		each += s->by[f][l] > 1 ? 3 : 0;
	return each + (l < s->kept ? s->to[l] > 1 ? 1 : 0 : 0.5) + 60 / len;
}

#define ROWS(name, T)                                                                                          \
/* to = (add ? to : 0) + c x, c p x if p; x with a step */                                                     \
ONX_CLONES static void name(const T *x, size_t step, double c, const double *restrict p, size_t n, bool add,   \
			    double *restrict to)                                                               \
{                                                                                                              \
	if (!add)                                                                                              \
		memset(to, 0, n * sizeof *to);                                                                 \
	if (p && step == 1)                                                                                    \
		for (size_t i = 0; i < n; i++)                                                                 \
			to[i] += p[i] * (double)x[i];                                                          \
	else if (p)                                                                                            \
		for (size_t i = 0; i < n; i++)                                                                 \
			to[i] += p[i] * (double)x[i * step];                                                   \
	else if (step == 1)                                                                                    \
		for (size_t i = 0; i < n; i++)                                                                 \
			to[i] += c * (double)x[i];                                                             \
	else                                                                                                   \
		for (size_t i = 0; i < n; i++)                                                                 \
			to[i] += c * (double)x[i * step];                                                      \
}
ROWS(real_row, real)

ONX_CLONES
static void whole_row(const int64_t *restrict x, uint64_t c, const uint64_t *restrict p, size_t n, bool add,
		      uint64_t *restrict to)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (add ? to[i] : 0) + (p ? p[i] : c) * (uint64_t)x[i];
}

/* sum [n] += the product of the factors, from at[] on along the run; c: of those that do not have its label. */
static void real_run(const struct loops *r, const int64_t *at, size_t n, double *sum)
{
	const struct onx_contract *s = r->s;
	double room[2][RUN], c = 1;
	const double *p = NULL;
	int last = -1;

	for (int f = 0; f < s->n_factor; f++)
		if (s->by[f][r->along] == 0)
			c *= (double)((const real *)s->factor[f]->v)[at[f]];
		else
			last = f;
	for (int f = 0, turn = 0; f <= last; f++) {
		const size_t step = (size_t)s->by[f][r->along];

		if (step == 0)
			continue;
		double *to = f == last ? sum : room[turn];
		real_row((const real *)s->factor[f]->v + at[f], step, c, p, n, f == last, to);
		p = to;
		turn = 1 - turn;
	}
	for (size_t i = 0; last < 0 && i < n; i++)
		sum[i] += c;
}

static void whole_run(const struct loops *r, const int64_t *at, size_t n, uint64_t *sum)
{
	const struct onx_contract *s = r->s;
	uint64_t room[2][RUN], c = 1;
	const uint64_t *p = NULL;
	int64_t copy[RUN];
	int last = -1;

	for (int f = 0; f < s->n_factor; f++)
		if (s->by[f][r->along] == 0)
			c *= (uint64_t)onx_view_int(s->factor[f], (size_t)at[f]);
		else
			last = f;
	for (int f = 0, turn = 0; f <= last; f++) {
		const size_t step = (size_t)s->by[f][r->along];

		if (step == 0)
			continue;
		uint64_t *to = f == last ? sum : room[turn];
		whole_row(onx_bulk_ints(s->factor[f], (size_t)at[f], step, n, copy), c, p, n, f == last, to);
		p = to;
		turn = 1 - turn;
	}
	for (size_t i = 0; last < 0 && i < n; i++)
		sum[i] += c;
}

/* Runs of all combinations of the labels that are summed over, but for `along`. */
static void all_terms(const struct loops *r, const int64_t *start, size_t n, double *sum, uint64_t *whole)
{
	const struct onx_contract *s = r->s;
	int64_t idx[ONX_LABELS] = { 0 }, at[ONX_FACTORS];
	int l = s->n;

	memcpy(at, start, sizeof at);
	do {
		if (s->whole)
			whole_run(r, at, n, whole);
		else
			real_run(r, at, n, sum);
		for (l = s->n - 1; l >= s->kept; l--) {
			if (l == r->along)
				continue;
			for (int f = 0; f < s->n_factor; f++)
				at[f] += s->by[f][l];
			if (++idx[l] < s->dim[l])
				break;
			for (int f = 0; f < s->n_factor; f++)
				at[f] -= s->dim[l] * s->by[f][l];
			idx[l] = 0;
		}
	} while (l >= s->kept);
}

static void put_run(const struct onx_contract *s, size_t to, size_t step, size_t n, const double *sum,
		    const uint64_t *whole)
{
	real *const y = s->target->v;

	for (size_t i = 0; s->whole && i < n; i++)
		onx_view_put_int(s->target, to + i * step, (int64_t)whole[i]);
	for (size_t i = 0; !s->whole && i < n; i++)
		onx_put(&y[to + i * step], s->add, (real)sum[i]);
}

/* One element of the target: runs along a label that is summed over, all into the same sums. */
static void one_sum(const struct loops *r, int64_t *at, size_t to)
{
	const struct onx_contract *s = r->s;
	const size_t dim = (size_t)s->dim[r->along];
	double sum[RUN] = { 0 }, lane[8] = { 0 };
	uint64_t whole[RUN] = { 0 }, total = 0;

	for (size_t j = 0; j < dim; j += RUN) {
		all_terms(r, at, dim - j < RUN ? dim - j : RUN, sum, whole);
		for (int f = 0; f < s->n_factor; f++)
			at[f] += RUN * s->by[f][r->along];
	}
	for (size_t i = 0; i < RUN; i++) {
		lane[i % 8] += sum[i];
		total += whole[i];
	}
	const double all = onx_lane_total(lane);
	put_run(s, to, 0, 1, &all, &total);
}

static void one_run(const struct loops *r, size_t i)
{
	const struct onx_contract *s = r->s;
	int64_t at[ONX_FACTORS] = { 0 }, to = 0;
	const size_t chunk = i % r->chunks;
	size_t rest = i / r->chunks;

	for (int l = s->kept - 1; l >= 0; l--) {
		const int64_t x = l == r->along ? (int64_t)chunk * RUN : (int64_t)(rest % (size_t)s->dim[l]);

		if (l != r->along)
			rest /= (size_t)s->dim[l];
		to += x * s->to[l];
		for (int f = 0; f < s->n_factor; f++)
			at[f] += x * s->by[f][l];
	}
	if (!r->across) {
		one_sum(r, at, (size_t)to);
		return;
	}
	const size_t left = (size_t)s->dim[r->along] - chunk * RUN, n = left < RUN ? left : RUN;
	double sum[RUN];
	uint64_t whole[RUN];

	memset(sum, 0, n * sizeof *sum);
	memset(whole, 0, n * sizeof *whole);
	all_terms(r, at, n, sum, whole);
	put_run(s, (size_t)to, (size_t)s->to[r->along], n, sum, whole);
}

static void loop_piece(void *ctx, size_t piece, int worker)
{
	const struct loops *r = ctx;
	size_t lo, hi, runs = r->chunks;

	(void)worker;
	for (int l = 0; l < r->s->kept; l++)
		runs *= l == r->along ? 1 : (size_t)r->s->dim[l];
	onx_piece(runs, r->grain, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++)
		one_run(r, i);
}

static void run_loops(struct onx_pool *pool, const struct onx_contract *s)
{
	struct loops r = { .s = s, .chunks = 1 };
	size_t runs = 1, work = 1;

	for (int l = 1; l < s->n; l++)
		if (cost(s, l) < cost(s, r.along))
			r.along = l;
	r.across = r.along < s->kept;
	if (r.across)
		r.chunks = onx_pieces((size_t)s->dim[r.along], RUN);
	for (int l = 0; l < s->n; l++)
		*(l < s->kept && l != r.along ? &runs : &work) *= (size_t)s->dim[l];
	runs *= r.chunks;
	work = onx_pieces(work, r.chunks);
	r.grain = work < PIECE_WORK ? PIECE_WORK / work : 1;
	onx_parallel(pool, onx_pieces(runs, r.grain), loop_piece, &r);
}

void onx_contract_run(struct onx_pool *pool, struct onx_contract *s)
{
	struct product p;
	struct onx_batch batch;

	merge_labels(s);
	if (!s->whole && s->n_factor == 2 && find_product(s, &p) && batch_of(s, &p, &batch)) {
		onx_gemm_batch(pool, &p.mat, &batch, 1, s->factor[p.a]->v, s->factor[1 - p.a]->v, s->add ? 1 : 0,
			       s->target->v);
		return;
	}
	if (s->n == 0) {                        /* of scalars: one run of one number */
		s->dim[0] = 1;
		s->n = s->kept = 1;
	}
	run_loops(pool, s);
}
