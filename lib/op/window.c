/* op/window.c -- see the header. */
#include "op/window.h"

enum { LIMIT = 1 << 30 };       /* of each number: products of two and sums stay far from overflow */

const char *const onx_auto_pads[] = { "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", NULL };

static int count_is(const char *what, size_t n, size_t want, struct onx_err *e)
{
	if (n == 0 || n == want)
		return ONX_OK;
	return onx_fail(e, ONX_SHAPE, "attribute '%s' has %zu numbers, wanted %zu", what, n, want);
}

static int range(const char *what, int64_t v, int64_t lo, struct onx_err *e)
{
	if (v >= lo && v <= LIMIT)
		return ONX_OK;
	return onx_fail(e, ONX_SHAPE, "'%s' has %lld, wanted %lld to %d", what, (long long)v,
			(long long)lo, (int)LIMIT);
}

static int read_dim(const struct onx_win_attr *a, int i, int d, const int64_t *in, const int64_t *kern,
		    struct onx_window *w, struct onx_err *e)
{
	const int64_t k = a->kernel_shape.n ? a->kernel_shape.v[i] : kern[i];
	const size_t nd = a->pads.n / 2;
	int rc;

	w->stride[d] = a->strides.n ? a->strides.v[i] : 1;
	w->dil[d] = a->dilations.n ? a->dilations.v[i] : 1;
	if (a->auto_pad == ONX_PAD_NOTSET && a->pads.n) {
		w->pad[d] = a->pads.v[i];
		w->pad_end[d] = a->pads.v[nd + (size_t)i];
	}
	if ((rc = range("kernel_shape", k, 1, e)) < 0 || (rc = range("strides", w->stride[d], 1, e)) < 0 ||
	    (rc = range("dilations", w->dil[d], 1, e)) < 0 || (rc = range("pads", w->pad[d], 0, e)) < 0 ||
	    (rc = range("pads", w->pad_end[d], 0, e)) < 0 ||
	    (rc = range("spatial dimension", in[i], 0, e)) < 0)
		return rc;
	if (kern && k != kern[i])
		return onx_fail(e, ONX_SHAPE, "kernel_shape says %lld where the weights have %lld",
				(long long)k, (long long)kern[i]);
	w->kern[d] = (size_t)k;
	w->in[d] = (size_t)in[i];
	return ONX_OK;
}

int onx_win_read(const struct onx_win_attr *a, int nd, const int64_t *in, const int64_t *kern,
		 struct onx_window *w, struct onx_err *e)
{
	int rc;

	if ((rc = count_is("kernel_shape", a->kernel_shape.n, (size_t)nd, e)) < 0 ||
	    (rc = count_is("strides", a->strides.n, (size_t)nd, e)) < 0 ||
	    (rc = count_is("dilations", a->dilations.n, (size_t)nd, e)) < 0 ||
	    (rc = count_is("pads", a->pads.n, 2 * (size_t)nd, e)) < 0)
		return rc;
	if (!kern && a->kernel_shape.n == 0)
		return onx_fail(e, ONX_SHAPE, "attribute 'kernel_shape' is missing");
	*w = (struct onx_window){ .in = { 1, 1, 1 }, .out = { 1, 1, 1 }, .kern = { 1, 1, 1 },
				  .stride = { 1, 1, 1 }, .dil = { 1, 1, 1 } };
	for (int i = 0; i < nd; i++)
		if ((rc = read_dim(a, i, 3 - nd + i, in, kern, w, e)) < 0)
			return rc;
	return ONX_OK;
}

/* One dimension: out = floor((in + pads - reach) / stride) + 1, where reach = (kern - 1) * dil + 1. */
static int slide_dim(const struct onx_win_attr *a, bool ceil, int d, struct onx_window *w, struct onx_err *e)
{
	const int64_t in = (int64_t)w->in[d], s = w->stride[d];
	const int64_t reach = ((int64_t)w->kern[d] - 1) * w->dil[d] + 1;
	int64_t out;

	if (a->auto_pad == ONX_PAD_SAME_UPPER || a->auto_pad == ONX_PAD_SAME_LOWER) {
		out = (in + s - 1) / s;
		int64_t total = (out - 1) * s + reach - in;

		total = total > 0 ? total : 0;
		w->pad[d] = a->auto_pad == ONX_PAD_SAME_UPPER ? total / 2 : total - total / 2;
		w->pad_end[d] = total - w->pad[d];
	} else {
		const int64_t room = in + w->pad[d] + w->pad_end[d] - reach;

		if (room < 0)
			return onx_fail(e, ONX_SHAPE, "a window of %lld does not fit into %lld with pads "
					"%lld and %lld", (long long)reach, (long long)in,
					(long long)w->pad[d], (long long)w->pad_end[d]);
		out = (ceil ? (room + s - 1) / s : room / s) + 1;
		if (ceil && (out - 1) * s >= in + w->pad[d])
			out--;
	}
	if (out < 1)
		return onx_fail(e, ONX_SHAPE, "the output would have no elements along a spatial "
				"dimension of size %lld", (long long)in);
	w->out[d] = (size_t)out;
	return ONX_OK;
}

int onx_win_slide(const struct onx_win_attr *a, int nd, bool ceil, struct onx_window *w, struct onx_err *e)
{
	for (int d = 3 - nd; d < 3; d++) {
		int rc = slide_dim(a, ceil, d, w, e);

		if (rc < 0)
			return rc;
	}
	onx_window_close(w);
	return ONX_OK;
}
