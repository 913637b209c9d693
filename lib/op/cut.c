/* op/cut.c -- whole tensors of whole numbers as real ones and back (bulk.h). */
#include "kernel/cpu.h"
#include "op/bulk.h"
#include "op/loop.h"
#include "op/whole.h"

struct whole_job { const struct onx_view *whole; real *v; };

ONX_CLONES
static void to_real(const double *restrict from, size_t n, real *restrict to)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (real)from[i];
}

static void read_whole(const void *ctx, size_t lo, size_t hi)
{
	const struct whole_job *j = ctx;
	double room[ONX_BULK];

	for (size_t n; lo < hi; lo += n) {
		n = hi - lo < ONX_BULK ? hi - lo : ONX_BULK;
		to_real(onx_bulk_reals(j->whole, lo, 1, n, room), n, j->v + lo);
	}
}

/* onx_whole_put() of bytes. */
ONX_CLONES
static void cut_to_bytes(const real *restrict v, size_t n, real lo, real hi, uint8_t *restrict to)
{
	for (size_t i = 0; i < n; i++) {
		real a = v[i] > lo ? v[i] : lo;

		a = a < hi ? a : hi;
		to[i] = (uint8_t)(int32_t)(v[i] == v[i] ? a : 0);
	}
}

static void cut_to_whole(const void *ctx, size_t lo, size_t hi)
{
	const struct whole_job *j = ctx;

	if (j->whole->type == ONX_UINT8)
		cut_to_bytes(j->v + lo, hi - lo, 0, UINT8_MAX, (uint8_t *)j->whole->v + lo);
	else if (j->whole->type == ONX_INT8)
		cut_to_bytes(j->v + lo, hi - lo, INT8_MIN, INT8_MAX, (uint8_t *)j->whole->v + lo);
	else
		for (; lo < hi; lo++)
			onx_whole_put(j->whole, lo, j->v[lo]);
}

void onx_bulk_to_real(const struct onx_view *x, real *to, struct onx_pool *p)
{
	const struct whole_job j = { x, to };

	onx_each(p, x->n, ONX_GRAIN, read_whole, &j);
}

void onx_bulk_cut(const struct onx_view *y, const real *from, struct onx_pool *p)
{
	const struct whole_job j = { y, (real *)(uintptr_t)from };

	onx_each(p, y->n, ONX_GRAIN, cut_to_whole, &j);
}
