/* op/sums.c -- see sums.h.
 *
 * The box is cut into blocks of up to CHUNK terms along the two inner dimensions, so that a short one costs no call
 * for each of its runs.  A block of results takes the blocks of terms that belong to it one after another.  Where there
 * are few results, what belongs to one is cut into slices, whose sums are added in order. */
#include "op/sums.h"
#include "kernel/cpu.h"
#include "kernel/lanes.h"

enum { CHUNK = 1024, SLICES = 16, SLOTS = 16384, GRAIN = 16384 };

struct job {
	struct onx_sum s;                               /* at least two dimensions */
	bool kept[ONX_SUM_RANK + 2], merged;            /* terms of a block lie in one run */
	size_t chunk[ONX_SUM_RANK + 2], blocks[ONX_SUM_RANK + 2];
	size_t items, units, slices, width;             /* blocks of results, of terms for each; results of a block */
	real *dx;
	bool add, plain;                                /* nothing is summed */
	double *slot;
};

/* A block: m runs of n terms. */
struct block { size_t n, m; int64_t to, off[ONX_SUM_FROM]; };

void onx_sum_dim(struct onx_sum *s, const struct onx_sum_axis *d)
{
	struct onx_sum_axis *last = &s->dim[s->rank > 0 ? s->rank - 1 : 0];
	bool merges = s->rank > 0;

	if (d->size == 1)
		return;
	merges = merges && d->to == last->to * (int64_t)last->size;
	for (int k = 0; merges && k < s->n_from; k++)
		merges = d->from[k] == last->from[k] * (int64_t)last->size;
	if (merges)
		last->size *= d->size;
	else
		s->dim[s->rank++] = *d;
}

/* Block number i, counted over the dimensions that are kept or over the others. */
static void place(const struct job *j, bool kept, size_t i, size_t *at)
{
	for (int d = 0; d < j->s.rank; d++) {
		if (j->kept[d] != kept)
			continue;
		at[d] = i % j->blocks[d] * j->chunk[d];
		i /= j->blocks[d];
	}
}

static struct block block_at(const struct job *j, const size_t *at)
{
	const struct onx_sum *s = &j->s;
	const size_t n = s->dim[0].size - at[0], m = s->dim[1].size - at[1];
	struct block b = { n < j->chunk[0] ? n : j->chunk[0], m < j->chunk[1] ? m : j->chunk[1], s->to0, { 0 } };

	for (int k = 0; k < s->n_from; k++)
		b.off[k] = s->from0[k];
	for (int d = 0; d < s->rank; d++) {
		b.to += (int64_t)at[d] * s->dim[d].to;
		for (int k = 0; k < s->n_from; k++)
			b.off[k] += (int64_t)at[d] * s->dim[d].from[k];
	}
	return b;
}

static void terms(const struct job *j, const struct block *b, real *out)
{
	const struct onx_sum *s = &j->s;
	int64_t off[ONX_SUM_FROM];

	if (j->merged) {
		s->term(s->ctx, out, b->off, s->dim[0].from, b->n * b->m);
		return;
	}
	for (int k = 0; k < s->n_from; k++)
		off[k] = b->off[k];
	for (size_t r = 0; r < b->m; r++) {
		s->term(s->ctx, out + r * b->n, off, s->dim[0].from, b->n);
		for (int k = 0; k < s->n_from; k++)
			off[k] += s->dim[1].from[k];
	}
}

/* Runs of n, one below the other or each for itself. */
ONX_CLONES static void add_rows(double *restrict acc, const real *restrict v, size_t n, size_t m)
{
	for (size_t r = 0; r < m; r++, v += n)
		for (size_t i = 0; i < n; i++)
			acc[i] += (double)v[i];
}

ONX_CLONES static void add_runs(double *restrict acc, const real *restrict v, size_t n, size_t m)
{
	enum { FEW = 16 };

	for (size_t r = 0; r < m; r++, v += n) {
		double sum = 0;
		for (size_t i = 0; n < FEW && i < n; i++)
			sum += (double)v[i];
		acc[r] += n < FEW ? sum : onx_sum(v, n);
	}
}

/* Adds terms lo..hi-1 of a block of results to acc. */
static void gather(const struct job *j, size_t item, size_t lo, size_t hi, double *acc)
{
	size_t at[ONX_SUM_RANK + 2];
	real v[CHUNK];

	place(j, true, item, at);
	for (size_t u = lo; u < hi; u++) {
		place(j, false, u, at);
		const struct block b = block_at(j, at);
		terms(j, &b, v);
		if (j->kept[0] && j->kept[1])
			add_rows(acc, v, b.n * b.m, 1);
		else if (j->kept[0])
			add_rows(acc, v, b.n, b.m);
		else if (j->kept[1])
			add_runs(acc, v, b.n, b.m);
		else
			add_runs(acc, v, b.n * b.m, 1);
	}
}

static void put(const struct job *j, const struct block *b, const double *acc)
{
	const size_t n = j->kept[0] ? b->n : 1, m = j->kept[1] ? b->m : 1;
	const int64_t one = j->s.dim[0].to, row = j->s.dim[1].to;

	for (size_t r = 0; r < m; r++)
		for (size_t i = 0; i < n; i++)
			onx_put(&j->dx[b->to + (int64_t)r * row + (int64_t)i * one], j->add, (real)acc[r * n + i]);
}

static struct block results_at(const struct job *j, size_t item)
{
	size_t at[ONX_SUM_RANK + 2] = { 0 };

	place(j, true, item, at);
	return block_at(j, at);
}

/* Terms that are results. */
static void put_plain(const struct job *j, const struct block *b)
{
	real v[CHUNK];
	real *dx = j->dx + b->to;
	const int64_t one = j->s.dim[0].to, row = j->s.dim[1].to;
	const bool dense = one == 1 && (b->m == 1 || row == (int64_t)b->n);

	if (dense && !j->add) {
		terms(j, b, dx);
		return;
	}
	terms(j, b, v);
	for (size_t i = 0; dense && i < b->n * b->m; i++)
		dx[i] += v[i];
	for (size_t r = 0; !dense && r < b->m; r++)
		for (size_t i = 0; i < b->n; i++)
			onx_put(&dx[(int64_t)r * row + (int64_t)i * one], j->add, v[r * b->n + i]);
}

static void whole_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t grain = GRAIN / (j->units * j->chunk[0] * j->chunk[1] + 1) + 1;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->items, grain, piece, &lo, &hi);
	for (; lo < hi; lo++) {
		const struct block b = results_at(j, lo);
		double acc[CHUNK];
		if (j->plain) {
			put_plain(j, &b);
			continue;
		}
		for (size_t i = 0; i < j->width; i++)
			acc[i] = 0;
		gather(j, lo, 0, j->units, acc);
		put(j, &b, acc);
	}
}

static void slice_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t item = piece / j->slices, k = piece % j->slices;
	double *acc = j->slot + piece * j->width;

	(void)worker;
	for (size_t i = 0; i < j->width; i++)
		acc[i] = 0;
	gather(j, item, j->units * k / j->slices, j->units * (k + 1) / j->slices, acc);
}

static void run_slices(struct job *j, struct onx_pool *p)
{
	double slot[SLOTS];

	j->slot = slot;
	onx_parallel(p, j->items * j->slices, slice_piece, j);
	for (size_t item = 0; item < j->items; item++) {
		double *acc = slot + item * j->slices * j->width;
		for (size_t k = 1; k < j->slices; k++)
			for (size_t i = 0; i < j->width; i++)
				acc[i] += acc[k * j->width + i];
		const struct block b = results_at(j, item);
		put(j, &b, acc);
	}
}

static void cut(struct job *j)
{
	struct onx_sum *s = &j->s;

	while (s->rank < 2)
		s->dim[s->rank++] = (struct onx_sum_axis){ .size = 1, .to = 1 };
	const size_t inner = s->dim[0].size, next = s->dim[1].size, room = inner && inner < CHUNK ? CHUNK / inner : 1;
	j->plain = true;
	j->items = j->units = 1;
	for (int d = 0; d < s->rank; d++) {
		j->kept[d] = s->dim[d].to != 0;
		j->plain &= j->kept[d];
		j->chunk[d] = d == 0 ? (inner < CHUNK ? inner : CHUNK) : d == 1 ? (next < room ? next : room) : 1;
		j->chunk[d] += j->chunk[d] == 0;
		j->blocks[d] = onx_pieces(s->dim[d].size, j->chunk[d]);
		*(j->kept[d] ? &j->items : &j->units) *= j->blocks[d];
	}
	j->width = (j->kept[0] ? j->chunk[0] : 1) * (j->kept[1] ? j->chunk[1] : 1);
	j->merged = inner <= CHUNK;
	for (int k = 0; k < s->n_from; k++)
		j->merged &= s->dim[1].from[k] == s->dim[0].from[k] * (int64_t)inner;
	j->merged |= j->chunk[1] == 1;
}

void onx_sum_run(const struct onx_sum *s, real *dx, bool add, struct onx_pool *p)
{
	struct job j = { .s = *s, .dx = dx, .add = add };

	cut(&j);
	const size_t each = j.units * j.chunk[0] * j.chunk[1] + 1, work = each * j.items;
	const size_t fit = SLOTS / (j.items * j.width + 1);
	j.slices = work / GRAIN + 1;
	j.slices = j.slices < SLICES ? j.slices : SLICES;
	j.slices = j.slices < fit ? j.slices : fit;
	j.slices = j.slices < j.units ? j.slices : j.units;
	if (j.items < SLICES && j.slices > 1)
		run_slices(&j, p);
	else
		onx_parallel(p, onx_pieces(j.items, GRAIN / each + 1), whole_piece, &j);
}
