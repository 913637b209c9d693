/* op/topk.c -- TopK beside a search for each place in turn: short rows and long ones, few and many of them, ties, NaN,
 * both zeros and infinities, every way in which columns lie, one thread and three. */
#include "case.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static int checks, bad;

/* Does element p come before q?  NaN counts as larger than every number; equal ones in order of place. */
static bool before(const struct onx_view *x, size_t p, size_t q, bool largest)
{
	const bool is_real = onx_dtype_real(x->type), is_unsigned = onx_dtype_class(x->type) == ONX_CLASS_UINT;
	const double a = is_real ? onx_view_real(x, p) : 0, b = is_real ? onx_view_real(x, q) : 0;
	const int64_t i = is_real ? 0 : onx_view_int(x, p), j = is_real ? 0 : onx_view_int(x, q);
	int order = (i > j) - (i < j);

	if (is_real)
		order = isnan(a) || isnan(b) ? isnan(a) - isnan(b) : (a > b) - (a < b);
	else if (is_unsigned)
		order = ((uint64_t)i > (uint64_t)j) - ((uint64_t)i < (uint64_t)j);
	return order == 0 ? p < q : largest ? order > 0 : order < 0;
}

/* Column `in` of `outer`, n numbers `inner` apart: true if the k places are right. */
static bool column(const struct op_run *r, size_t outer, size_t in, size_t n, size_t k, size_t inner, bool largest)
{
	const struct onx_view *x = &r->x[0];
	const int64_t *place = r->y[1].v;
	const size_t w = x->width, from = outer * n * inner + in;
	bool taken[4096] = { false }, ok = true;

	for (size_t i = 0; i < k; i++) {
		const size_t to = (outer * k + i) * inner + in;
		size_t best = n;

		for (size_t j = 0; j < n; j++)
			if (!taken[j] && (best == n || before(x, from + j * inner, from + best * inner, largest)))
				best = j;
		taken[best] = true;
		ok = ok && place[to] == (int64_t)best &&
		     memcmp((const char *)r->y[0].v + to * w, (const char *)x->v + (from + best * inner) * w, w) == 0;
	}
	return ok;
}

static void spoil(const struct onx_view *x)
{
	static const double odd[] = { NAN, INFINITY, 0.0, -0.0, -INFINITY, NAN, 1e-42, -1e-42 };

	for (size_t i = 0; onx_dtype_real(x->type) && i < x->n; i += 3)
		onx_view_put_real(x, i, odd[i / 3 % 8]);
}

static void one(const char *in, int axis, bool largest, bool wide, bool odd, struct onx_pool *pool)
{
	char attr[64];
	const struct op_case c = { .op = "TopK", .version = 24, .attr = attr, .in = in, .out = "11" };
	struct op_run r;
	struct onx_err e = { 0 };
	bool ok = false;

	snprintf(attr, sizeof attr, "axis=%d largest=%d", axis, largest);
	if (op_run_open(&r, &c, wide, 7, &e) == ONX_OK) {
		size_t outer = 1, inner = 1;

		if (odd)
			spoil(&r.x[0]);
		ok = op_run_forward(&r, NULL, pool);
		for (int d = 0; d < r.x[0].rank; d++)
			*(d < axis ? &outer : &inner) *= d == axis ? 1 : (size_t)r.x[0].dim[d];
		for (size_t i = 0; ok && i < outer * inner; i++)
			ok = column(&r, i / inner, i % inner, (size_t)r.x[0].dim[axis], (size_t)r.y[0].dim[axis], inner,
				    largest);
	}
	op_run_release(&r);
	printf("%s - %s axis %d%s%s%s%s\n", ok ? "ok" : "not ok", in, axis, largest ? "" : ", smallest",
	       wide ? ", double" : "", odd ? ", odd numbers" : "", pool ? ", threads" : "");
	checks++;
	bad += !ok;
}

int main(void)
{
	static const struct { const char *in; int axis; } cases[] = {
		{ "x:5x7 k:int64:1={3}", 1 }, { "x:1x1 k:int64:1={1}", 1 }, { "x:3x600 k:int64:1={1}", 1 },
		{ "x:3x600 k:int64:1={37}", 1 }, { "x:3x600 k:int64:1={38}", 1 }, { "x:2x1025 k:int64:1={1025}", 1 },
		{ "x:2x129 k:int64:1={129}", 1 }, { "x:2x128 k:int64:1={128}", 1 }, { "x:600x11 k:int64:1={9}", 0 },
		{ "x:2x300x9 k:int64:1={280}", 1 }, { "x:2x300x3 k:int64:1={5}", 1 },
		{ "x:int32:2x500 k:int64:1={20}", 1 },
		{ "x:int32:2x500 k:int64:1={400}", 1 }, { "x:int64:600x2[-3,3] k:int64:1={300}", 0 },
		{ "x:uint8:3x257[0,255] k:int64:1={257}", 1 }, { "x:int8:3x257[-128,127] k:int64:1={9}", 1 },
		{ "x:uint64:5={18446744073709551615,0,9223372036854775808,1,9223372036854775807} k:int64:1={4}", 0 },
		{ "x:int64:4={-9223372036854775808,9223372036854775807,0,-1} k:int64:1={4}", 0 },
	};
	struct onx_pool *pool;
	struct onx_err e = { 0 };

	if (onx_pool_new(3, &pool, &e) < 0) {
		printf("not ok - %s\n", e.text);
		return 1;
	}
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int f = 0; f < 16; f++)
			one(cases[i].in, cases[i].axis, f & 1, f & 2, f & 4, f & 8 ? pool : NULL);
	onx_pool_free(pool);
	return bad != 0 || checks == 0;
}
