/* op/mel.c -- MelWeightMatrix: bands of a spectrum, equally wide on the mel scale. */
#include <inttypes.h>
#include <string.h>
#include "kernel/real.h"
#include "op/spectrum.h"

struct mel_attr { int64_t type; };
static const struct onx_field mel_field[] = {
	{ "output_datatype", F_INT, offsetof(struct mel_attr, type), .def = "1", .min = 1, .max = 64,
	  .help = "number of the element type" },
	{ .name = NULL }
};
static const struct onx_table mel_attr = { "MelWeightMatrix", sizeof(struct mel_attr), mel_field, .check = NULL };

struct mel { int64_t bands, bins, *edge; };

/* Edges of the bands: equal steps on the mel scale, 2595 log10(1 + hertz / 700), as bins. */
static int mel_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const int64_t type = ((const struct mel_attr *)attr)->type;
	struct mel *m = ONX_NEW(s->mem, struct mel);
	int64_t length = 0, rate = 0;
	double hertz[2], mels[2];
	int rc;

	if (!m)
		return onx_nomem(e, sizeof *m, "MelWeightMatrix");
	if ((rc = onx_signal_number(s, 0, &m->bands, e)) < 0 || (rc = onx_signal_number(s, 1, &length, e)) < 0 ||
	    (rc = onx_signal_number(s, 2, &rate, e)) < 0 || (rc = onx_in_real(s, 3, &hertz[0], e)) < 0 ||
	    (rc = onx_in_real(s, 4, &hertz[1], e)) < 0)
		return rc;
	if (m->bands < 0 || m->bands > 1 << 24 || length < 1 || length > 1 << 28 || rate < 1)
		return onx_fail(e, ONX_SHAPE, "%" PRId64 " bands, length %" PRId64 ", rate %" PRId64
				", wanted positive numbers", m->bands, length, rate);
	if (!onx_dtype_known((int)type) || onx_dtype_class((enum onx_dtype)type) == ONX_CLASS_TEXT ||
	    onx_dtype_class((enum onx_dtype)type) == ONX_CLASS_CPLX)
		return onx_fail(e, ONX_SHAPE, "output_datatype is %" PRId64 ", wanted a number type", type);
	m->bins = length / 2 + 1;
	m->edge = ONX_NEWS(s->mem, int64_t, (size_t)m->bands + 2);
	if (!m->edge)
		return onx_nomem(e, 8.0 * (double)m->bands, "bands");
	for (int i = 0; i < 2; i++)
		mels[i] = 2595 * log10(1 + hertz[i] / 700);
	for (int64_t i = 0; i < m->bands + 2; i++) {
		const double at = mels[0] + (mels[1] - mels[0]) / (double)(m->bands + 2) * (double)i;
		const double bin = floor((double)(length + 1) * (700 * (pow(10, at / 2595) - 1)) / (double)rate);
		if (!(bin >= 0 && bin <= (double)m->bins))
			return onx_fail(e, ONX_SHAPE, "a band has its edge at bin %g of %" PRId64, bin, m->bins);
		m->edge[i] = (int64_t)bin;
	}
	const struct onx_shape y = { 2, { m->bins, m->bands } };
	s->geo = m;
	onx_set_out(s, 0, (enum onx_dtype)type, &y);
	return ONX_OK;
}

static void mel_put(const struct onx_call *c, int64_t bin, int64_t band, double v)
{
	const struct mel *m = c->geo;
	const size_t at = (size_t)(bin * m->bands + band);

	if (bin >= m->bins)
		return;
	if (onx_dtype_real(c->y[0].type))
		onx_view_put_real(&c->y[0], at, v);
	else
		onx_view_put_int(&c->y[0], at, (int64_t)v);
}

/* Triangles: up from an edge to the next, 1 there, down to the one behind. */
static void mel_forward(const struct onx_call *c)
{
	const struct mel *m = c->geo;

	memset(c->y[0].v, 0, c->y[0].n * c->y[0].width);
	for (int64_t i = 0; i < m->bands; i++) {
		const int64_t a = m->edge[i], b = m->edge[i + 1], z = m->edge[i + 2];
		for (int64_t j = a; j <= b; j++)
			mel_put(c, j, i, a == b ? 1 : (double)(j - a) / (double)(b - a));
		for (int64_t j = b; j < z; j++)
			mel_put(c, j, i, (double)(z - j) / (double)(z - b));
	}
}

const struct onx_op ONX_R(onx_ops_mel)[] = {
	{ .domain = "", .type = "MelWeightMatrix", .since = 17, .min_in = 5, .max_in = 5, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_NEVER }, .n_grad = 1, .attr = &mel_attr, .infer = mel_infer,
	  .forward = mel_forward },
	{ .type = NULL }
};
