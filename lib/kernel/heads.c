/* kernel/heads.c -- see the header. */
#include "kernel/heads.h"
#include "kernel/cpu.h"
#include "kernel/gemm.h"
#include "kernel/softmax.h"

enum { SCORES = 1 << 16, ROWS_LEAST = 16, PIECES = 16 };

struct job {
	const struct onx_heads *g;
	const real *q, *k, *v, *mask, *d_o;
	const struct ONX_R(onx_heads_grad) *to;
	real *o, *scratch;
	size_t rows, blocks;            /* queries of a block; blocks that are pieces of their own, forward */
};

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }

static size_t block_rows(const struct onx_heads *g)
{
	return max_z(min_z(g->tq, max_z(SCORES / max_z(g->tk, 1), ROWS_LEAST)), 1);
}

static size_t scores(const struct onx_heads *g)
{
	return (block_rows(g) * g->tk + 15) / 16 * 16;
}

size_t onx_heads_scratch(const struct onx_heads *g, int threads, bool backward)
{
	return scores(g) * (backward ? 2 : 1) * (size_t)threads * sizeof(real);
}

static size_t at(const struct onx_head_steps *s, size_t b, size_t h, size_t row)
{
	return b * s->b + h * s->h + row * s->t;
}

ONX_CLONES
static void add_mask(const real *m, size_t step_q, size_t step_k, size_t rows, size_t n, real *s)
{
	for (size_t r = 0; r < rows; r++, m += step_q, s += n)
		if (step_k == 1)
			for (size_t i = 0; i < n; i++)
				s[i] += m[i];
		else
			for (size_t i = 0; i < n; i++)
				s[i] += m[i * step_k];
}

/* The softmax of queries q0.. of a head, [rows][tk]. */
static void probabilities(const struct job *j, size_t b, size_t h, size_t q0, size_t rows, real *p)
{
	const struct onx_heads *g = j->g;
	const struct onx_mat m = { rows, g->tk, g->d, false, true, g->q.t, g->k.t, g->tk };
	const struct onx_lines lines = { rows, g->tk, 1 };

	onx_gemm_one(&m, (real)g->scale, j->q + at(&g->q, b, h, q0), j->k + at(&g->k, b, h, 0), 0, p);
	if (j->mask)
		add_mask(j->mask + b * g->mask_b + h * g->mask_h + q0 * g->mask_q, g->mask_q, g->mask_k, rows,
			 g->tk, p);
	onx_softmax_forward(NULL, &lines, ONX_SOFTMAX, p, p);
}

static void forward_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_heads *g = j->g;
	const size_t head = piece / j->blocks, b = head / g->h, h = head % g->h;
	real *p = j->scratch + (size_t)worker * scores(g);
	size_t lo, hi;

	onx_piece(g->tq, (g->tq + j->blocks - 1) / j->blocks, piece % j->blocks, &lo, &hi);
	for (size_t q0 = lo; q0 < hi; q0 += j->rows) {
		const size_t rows = min_z(j->rows, hi - q0);
		const struct onx_mat m = { rows, g->dv, g->tk, false, false, g->tk, g->v.t, g->o.t };

		probabilities(j, b, h, q0, rows, p);
		onx_gemm_one(&m, 1, p, j->v + at(&g->v, b, h, 0), 0, j->o + at(&g->o, b, h, q0));
	}
}

void onx_heads_forward(struct onx_pool *pool, const struct onx_heads *g, const real *q, const real *k,
		       const real *v, const real *mask, real *o, void *scratch)
{
	struct job j = { .g = g, .q = q, .k = k, .v = v, .mask = mask, .o = o, .scratch = scratch,
			 .rows = block_rows(g) };
	const size_t heads = g->b * g->h;

	if (heads == 0 || g->tq == 0)
		return;
	j.blocks = heads >= PIECES ? 1 : min_z(onx_pieces(g->tq, ROWS_LEAST), onx_pieces(PIECES, heads));
	j.blocks = onx_pieces(g->tq, onx_pieces(g->tq, j.blocks));
	onx_parallel(pool, heads * j.blocks, forward_piece, &j);
}

/* With P the softmax of a block and dS = P (dP - sum dP P), dP = dO V':
 *     dV += P' dO,  dQ = scale dS K,  dK += scale dS' Q */
static void backward_block(const struct job *j, size_t b, size_t h, size_t q0, size_t rows, real *p, real *ds)
{
	const struct onx_heads *g = j->g;
	const struct onx_lines lines = { rows, g->tk, 1 };
	const struct onx_mat dp = { rows, g->tk, g->dv, false, true, g->o.t, g->v.t, g->tk };
	const struct onx_mat mv = { g->tk, g->dv, rows, true, false, g->tk, g->o.t, g->v.t };
	const struct onx_mat mq = { rows, g->d, g->tk, false, false, g->tk, g->k.t, g->q.t };
	const struct onx_mat mk = { g->tk, g->d, rows, true, false, g->tk, g->q.t, g->k.t };
	const real *d_o = j->d_o + at(&g->o, b, h, q0), scale = (real)g->scale;

	probabilities(j, b, h, q0, rows, p);
	if (j->to->v)
		onx_gemm_one(&mv, 1, p, d_o, j->to->add_v || q0 > 0, j->to->v + at(&g->v, b, h, 0));
	if (!j->to->q && !j->to->k)
		return;
	onx_gemm_one(&dp, 1, d_o, j->v + at(&g->v, b, h, 0), 0, ds);
	onx_softmax_backward(NULL, &lines, ONX_SOFTMAX, p, ds, ds, false);
	if (j->to->q)
		onx_gemm_one(&mq, scale, ds, j->k + at(&g->k, b, h, 0), j->to->add_q,
			     j->to->q + at(&g->q, b, h, q0));
	if (j->to->k)
		onx_gemm_one(&mk, scale, ds, j->q + at(&g->q, b, h, q0), j->to->add_k || q0 > 0,
			     j->to->k + at(&g->k, b, h, 0));
}

static void backward_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_heads *g = j->g;
	real *p = j->scratch + (size_t)worker * 2 * scores(g);

	for (size_t q0 = 0; q0 < g->tq; q0 += j->rows)
		backward_block(j, piece / g->h, piece % g->h, q0, min_z(j->rows, g->tq - q0), p, p + scores(g));
}

void onx_heads_backward(struct onx_pool *pool, const struct onx_heads *g, const real *q, const real *k,
			const real *v, const real *mask, const real *d_o,
			const struct ONX_R(onx_heads_grad) *to, void *scratch)
{
	struct job j = { .g = g, .q = q, .k = k, .v = v, .mask = mask, .d_o = d_o, .to = to, .scratch = scratch,
			 .rows = block_rows(g) };

	onx_parallel(pool, g->b * g->h, backward_piece, &j);
}
