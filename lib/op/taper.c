/* op/taper.c -- HannWindow, HammingWindow, BlackmanWindow: weights of a frame of a signal. */
#include "kernel/real.h"
#include "op/infer.h"

struct taper { bool periodic; int64_t type; };
static const struct onx_field taper_field[] = {
	{ "output_datatype", F_INT, offsetof(struct taper, type), .def = "1", .min = 1, .max = 64,
	  .help = "element type of the result" },
	{ "periodic", F_BOOL, offsetof(struct taper, periodic), .def = "1",
	  .help = "the first period of size, or symmetric over size - 1" },
	{ .name = NULL }
};
static const struct onx_table taper_attr = { "HannWindow", sizeof(struct taper), taper_field, .check = NULL };

static int taper_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const int type = (int)((const struct taper *)attr)->type;
	struct onx_shape y = { .rank = 1 };
	const int64_t *v;
	size_t n;
	int rc = onx_in_ints(s, 0, &v, &n, e);

	if (rc < 0)
		return rc;
	if (n != 1)
		return onx_fail(e, ONX_SHAPE, "input 0 has %zu elements, wanted one size", n);
	const enum onx_class class = onx_dtype_known(type) ? onx_dtype_class((enum onx_dtype)type) : ONX_CLASS_NONE;
	if (class != ONX_CLASS_REAL && class != ONX_CLASS_INT && class != ONX_CLASS_UINT)
		return onx_fail(e, ONX_UNSUP, "output_datatype is %d, wanted a type of numbers", type);
	y.dim[0] = v[0];
	rc = onx_count(1, y.dim, &n, e);
	if (rc == ONX_OK)
		onx_set_out(s, 0, (enum onx_dtype)type, &y);
	return rc;
}

/* y[i] = a - b cos(2 pi i / N) + c cos(4 pi i / N), N = size, or size - 1 if symmetric; whole numbers: towards 0,
 * as Cast has it */
static void fill(const struct onx_call *c, double a, double b, double last)
{
	const struct onx_view *y = &c->y[0];
	const double period = (double)y->n - !((const struct taper *)c->attr)->periodic;

	for (size_t i = 0; i < y->n; i++) {
		const double t = period > 0 ? 6.283185307179586477 * (double)i / period : 0;
		const double v = a + last * cos(2 * t) - b * cos(t);    /* in this order 1 in the middle */
		if (onx_dtype_real(y->type))
			onx_view_put_real(y, i, v);
		else
			onx_view_put_int(y, i, (int64_t)v);
	}
}

static void hann_forward(const struct onx_call *c) { fill(c, 0.5, 0.5, 0); }
static void hamming_forward(const struct onx_call *c) { fill(c, 25.0 / 46, 21.0 / 46, 0); }
static void blackman_forward(const struct onx_call *c) { fill(c, 0.42, 0.5, 0.08); }

#define ROW(name, run) \
	{ .domain = "", .type = name, .since = 17, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, \
	  .attr = &taper_attr, .infer = taper_infer, .forward = run }
const struct onx_op ONX_R(onx_ops_taper)[] = {
	ROW("HannWindow", hann_forward),
	ROW("HammingWindow", hamming_forward),
	ROW("BlackmanWindow", blackman_forward),
	{ .type = NULL }
};
