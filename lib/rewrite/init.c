/* rewrite/init.c -- first numbers of new weights. */
#include "rewrite/head.h"
#include <math.h>
#include <string.h>
#include "base/rng.h"

int onx_init_fill(struct onx_arena *a, const struct onx_init *how, const char *name, enum onx_dtype type, size_t n,
		  void **out, struct onx_err *e)
{
	const uint8_t width = (uint8_t)onx_dtype_store(type, false);
	const int64_t dim[1] = { (int64_t)n };
	struct onx_view v = { .v = onx_alloc(a, n + 1, width), .n = n, .rank = 1, .dim = dim, .type = type,
			      .width = width };
	struct onx_rng r;
	double bound = 0;

	if (!v.v)
		return onx_nomem(e, (double)n * width, "new weights");
	onx_rng_init(&r, (uint64_t)how->seed, ONX_RNG_INIT, onx_hash(name, strlen(name), 0), 0);
	if (how->kind == ONX_INIT_KAIMING && how->fan_in > 0)
		bound = 1 / sqrt(how->fan_in);
	else if (how->kind == ONX_INIT_XAVIER && !how->is_bias)
		bound = sqrt(6 / (how->fan_in + how->fan_out));
	for (size_t i = 0; i < n; i++) {
		double x = bound > 0 ? onx_rng_range(&r, -bound, bound) : 0;
		if (how->kind == ONX_INIT_NORMAL && !how->is_bias)
			x = 0.01 * onx_rng_normal(&r);
		onx_view_put_real(&v, i, x);
	}
	*out = v.v;
	return ONX_OK;
}
