/* op/recurrent.c -- RNN, GRU, LSTM (kernel/cell.h) in one direction or both. */
#include <strings.h>
#include "kernel/cell.h"
#include "op/infer.h"

struct recurrent {
	struct onx_strs activations;
	struct onx_reals alpha, beta;
	double clip;
	int direction;
	int64_t hidden, layout;
	bool late_reset, coupled, sequence;
	uint64_t given;
};
static const char *const directions[] = { "forward", "reverse", "bidirectional", NULL };

#define FIELDS \
	{ "activations", F_STRS, offsetof(struct recurrent, activations), .def = "",                    \
	  .help = "functions f, g, h, for each direction" },                                            \
	{ "activation_alpha", F_REALS, offsetof(struct recurrent, alpha), .def = "",                    \
	  .help = "alpha of those functions that have one, in their order" },                           \
	{ "activation_beta", F_REALS, offsetof(struct recurrent, beta), .def = "",                      \
	  .help = "beta likewise" },                                                                    \
	{ "clip", F_REAL, offsetof(struct recurrent, clip), .def = "0", .min = 0, .max = 1e300,         \
	  .help = "bound of the sums that the functions see; default: none" },                          \
	{ "direction", F_ENUM, offsetof(struct recurrent, direction), .def = "forward",                 \
	  .choices = directions, .help = "which way the sequence is read" },                            \
	{ "hidden_size", F_INT, offsetof(struct recurrent, hidden), .def = "0", .min = 0, .max = 1e9,   \
	  .help = "size of a state; default: what R has" },                                             \
	{ "layout", F_INT, offsetof(struct recurrent, layout), .def = "0", .min = 0, .max = 1,          \
	  .help = "0: steps first, 1: samples first" },                                                 \
	{ "output_sequence", F_BOOL, offsetof(struct recurrent, sequence), .def = "0",                  \
	  .help = "before opset 7: Y is wanted, as its name in the node says" }
static const struct onx_field rnn_field[] = { FIELDS, { .name = NULL } };
static const struct onx_field gru_field[] = {
	FIELDS,
	{ "linear_before_reset", F_BOOL, offsetof(struct recurrent, late_reset), .def = "0",
	  .help = "the reset gate acts behind the product with R" },
	{ .name = NULL }
};
static const struct onx_field lstm_field[] = {
	FIELDS,
	{ "input_forget", F_BOOL, offsetof(struct recurrent, coupled), .def = "0",
	  .help = "the forget gate is 1 - the input gate" },
	{ .name = NULL }
};
#define TABLE(name, fields) { name, sizeof(struct recurrent), fields, .given = offsetof(struct recurrent, given) }
static const struct onx_table rnn_attr = TABLE("RNN", rnn_field);
static const struct onx_table gru_attr = TABLE("GRU", gru_field);
static const struct onx_table lstm_attr = TABLE("LSTM", lstm_field);

struct geo { int n; struct onx_cell dir[2]; size_t save, scratch[2]; };

/* The functions by name, whether they have an alpha and a beta, and the defaults. */
static const struct { const char *name; enum onx_squash_kind kind; bool alpha, beta; double a, b; } known[] = {
	{ "Relu", ONX_SQ_RELU, false, false, 0, 0 },
	{ "Tanh", ONX_SQ_TANH, false, false, 0, 0 },
	{ "Sigmoid", ONX_SQ_SIGMOID, false, false, 0, 0 },
	{ "Affine", ONX_SQ_AFFINE, true, true, 1, 0 },
	{ "LeakyRelu", ONX_SQ_LEAKY, true, false, 0.01, 0 },
	{ "ThresholdedRelu", ONX_SQ_THRESHOLD, true, false, 1, 0 },
	{ "ScaledTanh", ONX_SQ_SCALED_TANH, true, true, 1, 1 },
	{ "HardSigmoid", ONX_SQ_HARD_SIGMOID, true, true, 0.2, 0.5 },
	{ "Elu", ONX_SQ_ELU, true, false, 1, 0 },
	{ "Softsign", ONX_SQ_SOFTSIGN, false, false, 0, 0 },
	{ "Softplus", ONX_SQ_SOFTPLUS, false, false, 0, 0 },
};

static int read_functions(const struct recurrent *a, struct geo *g, struct onx_err *e)
{
	static const struct onx_squash usual[3][3] = {
		[ONX_RNN] = { { ONX_SQ_TANH, 0, 0 } },
		[ONX_GRU] = { { ONX_SQ_SIGMOID, 0, 0 }, { ONX_SQ_TANH, 0, 0 } },
		[ONX_LSTM] = { { ONX_SQ_SIGMOID, 0, 0 }, { ONX_SQ_TANH, 0, 0 }, { ONX_SQ_TANH, 0, 0 } },
	};
	const size_t each = g->dir[0].kind == ONX_RNN ? 1 : g->dir[0].kind == ONX_GRU ? 2 : 3;
	const size_t want = each * (size_t)g->n;
	size_t n_alpha = 0, n_beta = 0;

	if (a->activations.n != 0 && a->activations.n != want)
		return onx_fail(e, ONX_SHAPE, "%zu activations, wanted %zu", a->activations.n, want);
	for (size_t i = 0; i < want; i++) {
		struct onx_squash *f = &g->dir[i / each].f[i % each];
		size_t k = 0;

		*f = usual[g->dir[0].kind][i % each];
		if (a->activations.n == 0)
			continue;
		const char *name = a->activations.v[i];
		while (k < sizeof known / sizeof *known && strcasecmp(known[k].name, name) != 0)
			k++;
		if (k == sizeof known / sizeof *known)
			return onx_fail(e, ONX_UNSUP, "activation '%s' is not known", name);
		*f = (struct onx_squash){ known[k].kind, known[k].a, known[k].b };
		if (known[k].alpha && n_alpha < a->alpha.n)
			f->a = a->alpha.v[n_alpha++];
		if (known[k].beta && n_beta < a->beta.n)
			f->b = a->beta.v[n_beta++];
	}
	return ONX_OK;
}

static int want_shape(const struct onx_infer *s, int i, int rank, int64_t d0, int64_t d1, int64_t d2,
		      struct onx_err *e)
{
	const struct onx_shape want = { rank, { d0, d1, d2 } };
	char a[ONX_SHAPE_TEXT], b[ONX_SHAPE_TEXT];

	if (!onx_has_in(s, i) || onx_shape_equal(&s->in[i].shape, &want))
		return ONX_OK;
	return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted %s", i,
			onx_shape_text(s->in[i].shape.rank, s->in[i].shape.dim, a, sizeof a),
			onx_shape_text(want.rank, want.dim, b, sizeof b));
}

static int check_inputs(const struct onx_infer *s, const struct recurrent *a, int64_t gates, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *r = &s->in[2].shape;
	const int64_t dirs = a->direction == 2 ? 2 : 1, b = x->dim[a->layout ? 0 : 1], h = r->dim[2];
	const bool swap = a->layout == 1;
	int rc = ONX_OK;

	if (h > (int64_t)1 << 28)
		return onx_fail(e, ONX_UNSUP, "a hidden size of %lld", (long long)h);
	if (onx_given(&rnn_attr, a, "hidden_size") && a->hidden != h)
		return onx_fail(e, ONX_SHAPE, "hidden_size is %lld, R has %lld", (long long)a->hidden, (long long)h);
	for (int i = 1; rc == ONX_OK && i < s->n_in; i++)
		if (i != 4 && onx_has_in(s, i))
			rc = onx_want_same_type(s, 0, i, e);
	if (rc < 0 || (rc = want_shape(s, 1, 3, dirs, gates * h, x->dim[2], e)) < 0 ||
	    (rc = want_shape(s, 2, 3, dirs, gates * h, h, e)) < 0 ||
	    (rc = want_shape(s, 3, 2, dirs, 2 * gates * h, 0, e)) < 0 ||
	    (rc = want_shape(s, 4, 1, b, 0, 0, e)) < 0 ||
	    (rc = want_shape(s, 5, 3, swap ? b : dirs, swap ? dirs : b, h, e)) < 0 ||
	    (rc = want_shape(s, 6, 3, swap ? b : dirs, swap ? dirs : b, h, e)) < 0 ||
	    (rc = want_shape(s, 7, 2, dirs, 3 * h, 0, e)) < 0)
		return rc;
	return onx_has_in(s, 4) ? onx_want_type(s, 4, ONX_INT32, e) : ONX_OK;
}

static void set_outputs(struct onx_infer *s, const struct onx_cell *c)
{
	const int64_t t = (int64_t)c->t, b = (int64_t)c->b, h = (int64_t)c->h, d = (int64_t)c->dirs;
	const struct onx_shape y = { 4, { c->batch_first ? b : t, c->batch_first ? t : d,
					  c->batch_first ? d : b, h } };
	const struct onx_shape last = { 3, { c->batch_first ? b : d, c->batch_first ? d : b, h } };

	onx_set_out(s, 0, s->in[0].type, &y);
	onx_set_out(s, 1, s->in[0].type, &last);
	onx_set_out(s, 2, s->in[0].type, &last);
}

static int infer(struct onx_infer *s, const struct recurrent *a, enum onx_cell_kind kind, struct onx_err *e)
{
	struct geo *g = ONX_NEW(s->mem, struct geo);
	const size_t gates = kind == ONX_RNN ? 1 : kind == ONX_GRU ? 3 : 4;
	const int64_t *x = s->in[0].shape.dim;
	size_t count;
	int rc = onx_want_real(s, 0, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "a recurrent layer");
	if (rc < 0 || (rc = onx_want_rank(s, 0, 3, 3, e)) < 0 || (rc = onx_want_rank(s, 1, 3, 3, e)) < 0 ||
	    (rc = onx_want_rank(s, 2, 3, 3, e)) < 0 || (rc = check_inputs(s, a, (int64_t)gates, e)) < 0)
		return rc;
	const bool swap = a->layout == 1;
	const int64_t all[4] = { x[0], x[1], s->in[2].shape.dim[2], 8 * (int64_t)gates };
	if ((rc = onx_count(4, all, &count, e)) < 0)    /* so every buffer's size fits */
		return rc;
	g->n = a->direction == 2 ? 2 : 1;
	for (int d = 0; d < g->n; d++)
		g->dir[d] = (struct onx_cell){ .kind = kind, .t = (size_t)x[swap], .b = (size_t)x[!swap],
			.i = (size_t)x[2], .h = (size_t)all[2], .gates = gates, .dirs = (size_t)g->n,
			.dir = (size_t)d, .reverse = a->direction == 1 || d == 1, .batch_first = swap,
			.late_reset = a->late_reset, .coupled = a->coupled,
			.clip = onx_given(&rnn_attr, a, "clip") && a->clip > 0 ? a->clip : INFINITY };
	if ((rc = read_functions(a, g, e)) < 0)
		return rc;
	g->save = (onx_cell_saved(&g->dir[0]) + 63) / 64 * 64;
	s->geo = g;
	set_outputs(s, &g->dir[0]);
	return ONX_OK;
}

static int rnn_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return infer(s, attr, ONX_RNN, e);
}

static int gru_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return infer(s, attr, ONX_GRU, e);
}

static int lstm_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return infer(s, attr, ONX_LSTM, e);
}

static size_t saved(const struct onx_infer *s, const void *attr)
{
	const struct geo *g = s->geo;

	(void)attr;
	return (size_t)g->n * g->save;
}

static size_t scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct geo *g = s->geo;

	(void)attr, (void)threads;
	return onx_cell_scratch(&g->dir[0], backward);
}

static double macs(const struct onx_infer *s, const void *attr)
{
	const struct geo *g = s->geo;
	const struct onx_cell *c = &g->dir[0];

	(void)attr;
	return (double)g->n * (double)(c->t * c->b) * (double)(c->gates * c->h) * (double)(c->i + c->h);
}

static const real *input(const struct onx_call *c, int i, size_t dir, size_t each)
{
	return i < c->n_x && c->x[i].v ? (const real *)c->x[i].v + dir * each : NULL;
}

static struct onx_cell_data data_of(const struct onx_call *c, const struct onx_cell *g)
{
	const size_t gh = g->gates * g->h;

	return (struct onx_cell_data){
		.x = c->x[0].v, .w = input(c, 1, g->dir, gh * g->i), .r = input(c, 2, g->dir, gh * g->h),
		.bias = input(c, 3, g->dir, 2 * gh), .len = c->n_x > 4 ? c->x[4].v : NULL,
		.h0 = input(c, 5, 0, 0), .c0 = input(c, 6, 0, 0), .p = input(c, 7, g->dir, 3 * g->h),
		.save = (char *)c->save + g->dir * ((const struct geo *)c->geo)->save, .scratch = c->scratch };
}

static void forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	for (int i = 0; i < g->n; i++) {
		struct onx_cell_data d = data_of(c, &g->dir[i]);
		d.y = c->n_y > 0 ? c->y[0].v : NULL;
		d.yh = c->n_y > 1 ? c->y[1].v : NULL;
		d.yc = c->n_y > 2 ? c->y[2].v : NULL;
		onx_cell_forward(c->pool, &g->dir[i], &d);
	}
}

static real *wanted(const struct onx_call *c, int i, size_t dir, size_t each, bool *add)
{
	if (i >= c->n_x || !c->dx[i].v)
		return NULL;
	*add = c->dx[i].add;
	return (real *)c->dx[i].v + dir * each;
}

static void backward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	for (int i = 0; i < g->n; i++) {
		const struct onx_cell *cell = &g->dir[i];
		const size_t gh = cell->gates * cell->h, dir = cell->dir;
		const struct onx_cell_data d = data_of(c, cell);
		struct onx_cell_grad t = { .dy = c->n_y > 0 ? c->dy[0].v : NULL,
					   .dyh = c->n_y > 1 ? c->dy[1].v : NULL,
					   .dyc = c->n_y > 2 ? c->dy[2].v : NULL };

		t.dx = wanted(c, 0, 0, 0, &t.add_x);
		t.add_x |= i > 0;                       /* both directions read the same x */
		t.dw = wanted(c, 1, dir, gh * cell->i, &t.add_w);
		t.dr = wanted(c, 2, dir, gh * cell->h, &t.add_r);
		t.dbias = wanted(c, 3, dir, 2 * gh, &t.add_bias);
		t.dh0 = wanted(c, 5, 0, 0, &t.add_h0);
		t.dc0 = wanted(c, 6, 0, 0, &t.add_c0);
		t.dp = wanted(c, 7, dir, 3 * cell->h, &t.add_p);
		onx_cell_backward(c->pool, cell, &d, &t);
	}
}

#define D ONX_G_DIFF
#define ROW(name, ins, outs, kept, part)                                                             \
	{ .domain = "", .type = name, .since = 1, .min_in = 3, .max_in = ins, .min_out = 0,           \
	  .max_out = outs, .grad = { D, D, D, D, ONX_G_NEVER, D, D, D }, .n_grad = 8,                 \
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2) | ONX_KEEP_X(4) | (kept),            \
	  .weight = 0x8E, .attr = &part##_attr, .infer = part##_infer, .saved = saved,                \
	  .scratch = scratch, .macs = macs, .forward = forward, .backward = backward }
const struct onx_op ONX_R(onx_ops_recurrent)[] = {
	ROW("RNN", 6, 2, 0, rnn),
	ROW("GRU", 6, 2, 0, gru),
	ROW("LSTM", 8, 3, ONX_KEEP_X(7), lstm),
	{ .type = NULL }
};
