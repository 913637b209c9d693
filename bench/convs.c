/* Convolutions with channels last, layer by layer: forward and both gradients.
 *
 * usage: convs THREADS [BATCH [WORD]]     layers whose name contains WORD; 0 threads: all cores
 *
 * Prints GFLOP/s and the share of the peak (of the formula's multiplications: Winograd's way makes fewer, and may
 * pass 100 %), which is that of one tile whose operands stay in the nearest cache on
 * one thread, multiplied by the threads: the largest seen so far, measured again before each layer.  Since clocks
 * change and others may work on the machine, the fastest of many runs counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/arena.h"
#include "kernel/tile.h"
#include "kernel/last.h"

enum { ROUNDS = 4, TERMS = 128, TILES = 4000 };
static const double least = 0.3;        /* seconds for each, at least ROUNDS rounds */

static const struct layer {
	const char *name;
	size_t c, m, side, kern, stride;        /* m 0: depthwise */
} layers[] = {
	{ "stem 7x7 s2", 3, 64, 224, 7, 2 },
	{ "stem 3x3 s2", 3, 32, 224, 3, 2 },
	{ "3x3 64 at 56", 64, 64, 56, 3, 1 },
	{ "3x3 128 at 28", 128, 128, 28, 3, 1 },
	{ "3x3 256 at 14", 256, 256, 14, 3, 1 },
	{ "3x3 512 at 7", 512, 512, 7, 3, 1 },
	{ "3x3 s2 64-128", 64, 128, 56, 3, 2 },
	{ "3x3 s2 256-512", 256, 512, 14, 3, 2 },
	{ "3x3 16-64 at 55", 16, 64, 55, 3, 1 },
	{ "1x1 64-64 at 56", 64, 64, 56, 1, 1 },
	{ "1x1 64-256 at 56", 64, 256, 56, 1, 1 },
	{ "1x1 256-64 at 56", 256, 64, 56, 1, 1 },
	{ "1x1 256-1024 at 14", 256, 1024, 14, 1, 1 },
	{ "1x1 2048-512 at 7", 2048, 512, 7, 1, 1 },
	{ "1x1 s2 256-512", 256, 512, 56, 1, 2 },
	{ "1x1 16-96 at 112", 16, 96, 112, 1, 1 },
	{ "1x1 96-24 at 56", 96, 24, 56, 1, 1 },
	{ "1x1 144-32 at 28", 144, 32, 28, 1, 1 },
	{ "1x1 64-384 at 14", 64, 384, 14, 1, 1 },
	{ "1x1 576-96 at 14", 576, 96, 14, 1, 1 },
	{ "1x1 320-1280 at 7", 320, 1280, 7, 1, 1 },
	{ "dw 3x3 32 at 112", 32, 0, 112, 3, 1 },
	{ "dw 3x3 s2 96 at 112", 96, 0, 112, 3, 2 },
	{ "dw 3x3 144 at 56", 144, 0, 56, 3, 1 },
	{ "dw 3x3 s2 144 at 56", 144, 0, 56, 3, 2 },
	{ "dw 3x3 192 at 28", 192, 0, 28, 3, 1 },
	{ "dw 3x3 384 at 14", 384, 0, 14, 3, 1 },
	{ "dw 3x3 960 at 7", 960, 0, 7, 3, 1 },
	{ "dw 5x5 240 at 28", 240, 0, 28, 5, 1 },
};

/* On one thread the processor's time counts, which others on the machine disturb less. */
static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static real *numbers(size_t n)
{
	real *v = onx_heap(n + 1, sizeof *v);

	for (size_t i = 0; v && i < n; i++)
		v[i] = (real)(i * 7 % 97) / 97 - (real)0.5;
	return v;
}

/* One whole tile, again and again, in GFLOP/s. */
static double peak(void)
{
	static real x[ONX_TILE_ROWS * TERMS], b[TERMS * ONX_TILE_COLS], y[ONX_TILE_ROWS * ONX_TILE_COLS];
	const struct ONX_R(onx_tile) *tile = onx_tile_of(onx_isa());
	const real *at[ONX_TILE_ROWS];
	size_t row[ONX_TILE_ROWS];
	const struct ONX_R(onx_tile_gather) t = { .spans = 1, .len = TERMS, .at = at, .b = b, .y = y, .row = row };

	for (size_t r = 0; r < tile->rows; r++) {
		at[r] = x + r * TERMS;
		row[r] = r * tile->cols;
	}
	const double since = now(CLOCK_THREAD_CPUTIME_ID);

	for (int k = 0; k < TILES; k++)
		tile->gather[ONX_TILE_PARTS - 1][tile->cols / tile->unit - 1](&t);
	return 2e-9 * TERMS * (double)(tile->rows * tile->cols) * TILES / (now(CLOCK_THREAD_CPUTIME_ID) - since);
}

struct work {
	struct onx_conv_geo g;
	real *x, *w, *y;
	void *packed, *scratch;
	const struct ONX_R(onx_last_way) *way;
	const struct ONX_R(onx_last_grad) *grad;
	struct onx_pool *pool;
};

static void run(const struct work *k, int what)
{
	const struct ONX_R(onx_last_end) end = { .f = { .kind = ONX_FUSE_RELU } };

	if (what == 0)
		k->way->forward(k->pool, &k->g, k->x, k->packed, &end, k->y, k->scratch);
	else if (what == 1)
		k->grad->data(k->pool, &k->g, k->w, k->y, k->x, false, k->scratch);
	else
		k->grad->weights(k->pool, &k->g, k->x, k->y, k->w, false, k->scratch);
}

static double fastest(const struct work *k, int what)
{
	const clockid_t clock = onx_pool_threads(k->pool) > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
	const double begun = now(clock);
	double best = 1e9;

	for (int i = 0; i < ROUNDS || now(clock) - begun < least; i++) {
		const double since = now(clock);

		run(k, what);
		best = fmin(best, now(clock) - since);
	}
	return best;
}

static struct onx_conv_geo geo_of(const struct layer *l, size_t batch)
{
	struct onx_conv_geo g = { .n = batch, .groups = 1, .c = l->c, .m = l->m };

	if (l->m == 0)
		g = (struct onx_conv_geo){ .n = batch, .groups = l->c, .c = 1, .m = 1 };

	for (int d = 0; d < 3; d++) {
		g.w.in[d] = d ? l->side : 1;
		g.w.kern[d] = d ? l->kern : 1;
		g.w.stride[d] = d ? (int64_t)l->stride : 1;
		g.w.dil[d] = 1;
		g.w.pad[d] = g.w.pad_end[d] = d ? (int64_t)l->kern / 2 : 0;
		g.w.out[d] = d ? (l->side - 1) / l->stride + 1 : 1;
	}
	onx_window_close(&g.w);
	return g;
}

static int measure(const struct layer *l, size_t batch, const struct ONX_R(onx_last_way) *way,
		   const struct ONX_R(onx_last_grad) *grad, struct onx_pool *pool, double *top)
{
	struct work k = { .g = geo_of(l, batch), .way = way, .grad = grad, .pool = pool };
	const int threads = onx_pool_threads(pool);
	const double forward = (double)k.way->scratch(&k.g, threads), back = (double)k.grad->scratch(&k.g, threads);
	const size_t m = k.g.groups * k.g.m;
	const double flop = 2e-9 * (double)(batch * k.g.w.out_n * m) * (double)(k.g.c * k.g.w.kern_n);
	int rc = 0;

	k.x = numbers(batch * k.g.w.in_n * l->c);
	k.y = numbers(batch * k.g.w.out_n * m);
	k.w = numbers(m * k.g.c * k.g.w.kern_n);
	k.packed = onx_heap(k.way->packed(&k.g) + 1, 1);
	k.scratch = onx_heap((size_t)fmax(forward, back) + 1, 1);
	if (k.x && k.y && k.w && k.packed && k.scratch) {
		k.way->pack(pool, &k.g, k.w, k.packed);
		printf("%-20s  %-8s", l->name, way->name);
		for (int what = 0; what < 3; what++) {
			const double speed = flop / fastest(&k, what);

			*top = fmax(*top, peak());
			printf("  %7.1f %3.0f %%", speed, 100 * speed / (*top * threads));
		}
		printf("\n");
		fflush(stdout);
	} else {
		fprintf(stderr, "convs: not enough memory for %s\n", l->name);
		rc = 1;
	}
	onx_heap_free(k.x);
	onx_heap_free(k.y);
	onx_heap_free(k.w);
	onx_heap_free(k.packed);
	onx_heap_free(k.scratch);
	return rc;
}

int main(int argc, char **argv)
{
	const int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
	const long batch = argc > 2 ? strtol(argv[2], NULL, 10) : 16;
	const char *word = argc > 3 ? argv[3] : "";
	struct onx_err e = { 0 };
	struct onx_pool *pool;
	double top = 0;
	int rc = 0;

	for (int i = 0; i < 100; i++)
		top = fmax(top, peak());
	if (batch < 1 || batch > 4096) {
		fprintf(stderr, "convs: batch %ld is not 1 to 4096\n", batch);
		return 1;
	}
	if (onx_pool_new(threads, &pool, &e) < 0) {
		fprintf(stderr, "convs: %s\n", e.text);
		return 1;
	}
	printf("batch %ld, %d threads, peak %.1f GFLOP/s a thread\n%-30s  %13s  %13s  %13s\n", batch,
	       onx_pool_threads(pool), top, "", "forward", "data", "weights");
	for (size_t i = 0; i < sizeof layers / sizeof *layers && rc == 0; i++) {
		const struct onx_conv_geo g = geo_of(&layers[i], (size_t)batch);

		if (!strstr(layers[i].name, word))
			continue;
		const bool dense = layers[i].m != 0;

		rc = measure(&layers[i], (size_t)batch, dense ? &onx_last_way_dense : &onx_last_way_depthwise,
			     dense ? &onx_last_grad_dense : &onx_last_grad_depthwise, pool, &top);
		if (rc == 0 && onx_last_way_winograd.fits(&g))
			rc = measure(&layers[i], (size_t)batch, &onx_last_way_winograd, &onx_last_grad_winograd, pool,
				     &top);
	}
	onx_pool_free(pool);
	return rc;
}
