/* rewrite/layers.c -- text to layers: each word a row of the table below, each layer a patch. */
#include "rewrite/layers.h"
#include <string.h>
#include "graph/facts.h"
#include "rewrite/head.h"
#include "rewrite/patch.h"

enum { MOST_WORDS = 512, MOST_DEPTH = 16 };

struct word { const char *name; double arg[3]; int n_arg; bool opens, closes; };
struct work {
	struct onx_graph *g;
	struct onx_layers *l;
	struct onx_arena *mem;
	struct onx_buf *log;
	struct word word[MOST_WORDS];
	int n_word, at, depth;
	unsigned count;                 /* layers so far: part of their names */
	uint32_t v;                     /* the tensor that the next layer reads */
	struct onx_shape shape;         /* its shape, batch 1 */
	enum onx_dtype type;
};
struct layer { const char *name; int min_arg, max_arg, rank;
	       int (*add)(struct work *w, struct onx_patch *p, const struct word *x, uint32_t *y, struct onx_err *e); };

/* --- pieces --------------------------------------------------------------------------------------------- */

/* A name for a piece of the layer; shortage of memory is remembered by the patch. */
static const char *part(struct work *w, struct onx_patch *p, const char *what)
{
	const char *s = onx_text(w->mem, "%s.%u.%s", w->l->prefix, w->count, what);
	p->lost |= !s;
	return s ? s : "layer";
}

/* A new weight; kind bias or weight says `how`. */
static int weight(struct work *w, struct onx_patch *p, const char *what, int rank, const int64_t *dim,
		  double fan_in, double fan_out, uint32_t *id, struct onx_err *e)
{
	const struct onx_init how = { w->l->init, w->l->seed, fan_in, fan_out, rank == 1 };
	const char *name = part(w, p, what);
	void *data = NULL;
	size_t n;
	int rc = onx_count(rank, dim, &n, e);
	if (rc == ONX_OK)
		rc = onx_init_fill(w->mem, &how, name, w->type, n, &data, e);
	if (rc == ONX_OK)
		*id = onx_patch_value(p, name, w->type, rank, dim, data);
	return rc;
}

static int filled(struct work *w, struct onx_patch *p, const char *what, int64_t n, double x, uint32_t *id,
		  struct onx_err *e)
{
	const uint8_t width = (uint8_t)onx_dtype_store(w->type, false);
	const int64_t dim[1] = { n };
	struct onx_view v = { .v = onx_alloc(w->mem, (size_t)n + 1, width), .n = (size_t)n, .rank = 1, .dim = dim,
			      .type = w->type, .width = width };
	if (!v.v)
		return onx_nomem(e, (double)n * width, "new weights");
	for (size_t i = 0; i < v.n; i++)
		onx_view_put_real(&v, i, x);
	*id = onx_patch_value(p, part(w, p, what), w->type, n == 0 ? 0 : 1, dim, v.v);
	return ONX_OK;
}

static uint32_t op(struct work *w, struct onx_patch *p, const char *type, const uint32_t *in, uint32_t n_in,
		   const struct onx_file_attr *attr, size_t n)
{
	return onx_patch_op(p, type, part(w, p, type), w->type, in, n_in, attr, n);
}

static int add_gemm(struct work *w, struct onx_patch *p, const struct word *x, uint32_t *y, struct onx_err *e)
{
	int64_t features = 1;
	const int64_t n = (int64_t)x->arg[0];
	uint32_t in[3] = { w->v, ONX_NONE, ONX_NONE };
	const struct onx_file_attr axis = onx_attr_int("axis", 1), t = onx_attr_int("transB", 1);
	for (int i = 1; i < w->shape.rank; i++)
		features *= w->shape.dim[i];
	if (w->shape.rank != 2)
		in[0] = op(w, p, "Flatten", in, 1, &axis, 1);
	int rc = weight(w, p, "weight", 2, (int64_t[]){ n, features }, (double)features, (double)n, &in[1], e);
	if (rc == ONX_OK)
		rc = weight(w, p, "bias", 1, &n, (double)features, (double)n, &in[2], e);
	if (rc == ONX_OK)
		*y = op(w, p, "Gemm", in, 3, &t, 1);
	return rc;
}

static int convolve(struct work *w, struct onx_patch *p, int64_t filters, int64_t k, int64_t s, int64_t group,
		    uint32_t from, int64_t channels, const char *prefix, uint32_t *y, struct onx_err *e)
{
	const int64_t ks[2] = { k, k }, ss[2] = { s, s }, pad[4] = { k / 2, k / 2, (k - 1) / 2, (k - 1) / 2 };
	const struct onx_file_attr attr[4] = { onx_attr_ints("kernel_shape", ks, 2), onx_attr_ints("strides", ss, 2),
					       onx_attr_ints("pads", pad, 4), onx_attr_int("group", group) };
	const double fan = (double)(channels / group * k * k);
	uint32_t in[3] = { from, ONX_NONE, ONX_NONE };
	const char *name[3] = { onx_text(w->mem, "%sweight", prefix), onx_text(w->mem, "%sbias", prefix),
				onx_text(w->mem, "%sConv", prefix) };
	if (!name[0] || !name[1] || !name[2])
		return onx_nomem(e, 64, "names");
	int rc = weight(w, p, name[0], 4, (int64_t[]){ filters, channels / group, k, k }, fan,
			(double)(filters / group * k * k), &in[1], e);
	if (rc == ONX_OK)
		rc = weight(w, p, name[1], 1, &filters, fan, 0, &in[2], e);
	if (rc == ONX_OK)
		*y = onx_patch_op(p, "Conv", part(w, p, name[2]), w->type, in, 3, attr, 4);
	return rc;
}

static int add_conv(struct work *w, struct onx_patch *p, const struct word *x, uint32_t *y, struct onx_err *e)
{
	return convolve(w, p, (int64_t)x->arg[0], (int64_t)x->arg[1], x->n_arg > 2 ? (int64_t)x->arg[2] : 1, 1,
			w->v, w->shape.dim[1], "", y, e);
}

static int add_dwconv(struct work *w, struct onx_patch *p, const struct word *x, uint32_t *y, struct onx_err *e)
{
	const int64_t c = w->shape.dim[1];
	return convolve(w, p, c, (int64_t)x->arg[0], x->n_arg > 1 ? (int64_t)x->arg[1] : 1, c, w->v, c, "", y, e);
}

static int add_bn(struct work *w, struct onx_patch *p, const struct word *x, uint32_t *y, struct onx_err *e)
{
	static const char *const what[4] = { "scale", "bias", "mean", "var" };
	static const double first[4] = { 1, 0, 0, 1 };
	uint32_t in[5] = { w->v };
	int rc = ONX_OK;
	(void)x;
	for (int i = 0; rc == ONX_OK && i < 4; i++)
		rc = filled(w, p, what[i], w->shape.dim[1], first[i], &in[i + 1], e);
	*y = rc == ONX_OK ? op(w, p, "BatchNormalization", in, 5, NULL, 0) : ONX_NONE;
	return rc;
}

static int add_dropout(struct work *w, struct onx_patch *p, const struct word *x, uint32_t *y, struct onx_err *e)
{
	uint32_t in[2] = { w->v, ONX_NONE };
	const bool old = onx_model_opset(w->g->model, "") < 12;
	const struct onx_file_attr ratio = onx_attr_float("ratio", x->arg[0]);
	float *r = ONX_NEW(w->mem, float);
	if (x->arg[0] < 0 || x->arg[0] >= 1)
		return onx_fail(e, ONX_USAGE, "dropout wants a ratio in [0, 1), not %g", x->arg[0]);
	if (!r)
		return onx_nomem(e, 4, "a ratio");
	*r = (float)x->arg[0];
	if (!old)
		in[1] = onx_patch_value(p, part(w, p, "ratio"), ONX_FLOAT, 0, NULL, r);
	*y = op(w, p, "Dropout", in, old ? 1 : 2, &ratio, old);
	return ONX_OK;
}

static int pool(struct work *w, struct onx_patch *p, const struct word *x, const char *type, uint32_t *y)
{
	const int64_t k = (int64_t)x->arg[0], s = x->n_arg > 1 ? (int64_t)x->arg[1] : k;
	const int64_t ks[2] = { k, k }, ss[2] = { s, s };
	const struct onx_file_attr attr[2] = { onx_attr_ints("kernel_shape", ks, 2), onx_attr_ints("strides", ss, 2) };
	*y = op(w, p, type, &w->v, 1, attr, 2);
	return ONX_OK;
}

static int add_maxpool(struct work *w, struct onx_patch *p, const struct word *x, uint32_t *y, struct onx_err *e)
{
	(void)e;
	return pool(w, p, x, "MaxPool", y);
}

static int add_avgpool(struct work *w, struct onx_patch *p, const struct word *x, uint32_t *y, struct onx_err *e)
{
	(void)e;
	return pool(w, p, x, "AveragePool", y);
}

static int add_axis1(struct work *w, struct onx_patch *p, const struct word *x, uint32_t *y, struct onx_err *e)
{
	const struct onx_file_attr axis = onx_attr_int("axis", 1);
	(void)e;
	*y = op(w, p, strcmp(x->name, "flatten") == 0 ? "Flatten" : "Softmax", &w->v, 1, &axis, 1);
	return ONX_OK;
}

static int add_plain(struct work *w, struct onx_patch *p, const struct word *x, uint32_t *y, struct onx_err *e)
{
	static const char *const type[][2] = { { "relu", "Relu" }, { "sigmoid", "Sigmoid" }, { "tanh", "Tanh" },
		{ "hardswish", "HardSwish" }, { "gap", "GlobalAveragePool" } };
	(void)e;
	for (size_t i = 0; i < sizeof type / sizeof *type; i++)
		if (strcmp(x->name, type[i][0]) == 0)
			*y = op(w, p, type[i][1], &w->v, 1, NULL, 0);
	return ONX_OK;
}

/* x/2 (1 + erf(x/sqrt 2)): the operator where the opset has it, else spelt out (Hendrycks and Gimpel). */
static int add_gelu(struct work *w, struct onx_patch *p, const struct word *x, uint32_t *y, struct onx_err *e)
{
	uint32_t c[3];
	int rc = ONX_OK;
	(void)x;
	if (onx_model_opset(w->g->model, "") >= 20) {
		*y = op(w, p, "Gelu", &w->v, 1, NULL, 0);
		return ONX_OK;
	}
	static const char *const what[3] = { "root", "one", "half" };
	static const double number[3] = { 0.70710678118654752, 1, 0.5 };
	for (int i = 0; rc == ONX_OK && i < 3; i++)
		rc = filled(w, p, what[i], 1, number[i], &c[i], e);
	if (rc < 0)
		return rc;
	uint32_t in[2] = { w->v, c[0] };
	in[0] = onx_patch_op(p, "Mul", part(w, p, "scaled"), w->type, in, 2, NULL, 0);
	in[0] = op(w, p, "Erf", in, 1, NULL, 0);
	in[1] = c[1];
	in[0] = op(w, p, "Add", in, 2, NULL, 0);
	in[1] = w->v;
	in[0] = op(w, p, "Mul", in, 2, NULL, 0);
	in[1] = c[2];
	*y = onx_patch_op(p, "Mul", part(w, p, "gelu"), w->type, in, 2, NULL, 0);
	return ONX_OK;
}

static const struct layer layers[] = {
	{ "gemm", 1, 1, 0, add_gemm },          { "conv", 2, 3, 4, add_conv },
	{ "dwconv", 1, 2, 4, add_dwconv },      { "bn", 0, 0, 0, add_bn },
	{ "dropout", 1, 1, 0, add_dropout },    { "maxpool", 1, 2, 4, add_maxpool },
	{ "avgpool", 1, 2, 4, add_avgpool },    { "gap", 0, 0, 4, add_plain },
	{ "flatten", 0, 0, 0, add_axis1 },      { "softmax", 0, 0, 0, add_axis1 },
	{ "relu", 0, 0, 0, add_plain },         { "sigmoid", 0, 0, 0, add_plain },
	{ "tanh", 0, 0, 0, add_plain },         { "hardswish", 0, 0, 0, add_plain },
	{ "gelu", 0, 0, 0, add_gelu },          { "res", 0, 0, 4, NULL },
};
enum { N_LAYER = sizeof layers / sizeof *layers };

/* --- words ------------------------------------------------------------------------------------------------ */

static const struct layer *find_layer(const char *name, struct onx_err *e)
{
	const char *names[N_LAYER];
	for (size_t i = 0; i < N_LAYER; i++) {
		names[i] = layers[i].name;
		if (strcmp(layers[i].name, name) == 0)
			return &layers[i];
	}
	const char *near = onx_nearest(names, N_LAYER, name);
	int rc = onx_fail(e, ONX_USAGE, "layers: there is no layer '%s'%s%s%s", name, near ? "; nearest is '" : "",
			  near ? near : "", near ? "'" : "");
	(void)rc;
	return NULL;
}

static int parse_args(struct word *x, char *s, struct onx_err *e)
{
	for (char *colon = strchr(s, ':'); colon; ) {
		*colon++ = 0;
		char *next = strchr(colon, ':');
		if (next)
			*next = 0;
		if (x->n_arg == 3 || onx_parse_real(colon, &x->arg[x->n_arg++]) < 0)
			return onx_fail(e, ONX_USAGE, "layers: '%s:%s' is no number of %s", s, colon, s);
		if (next)
			*next = ':';
		colon = next;
	}
	return ONX_OK;
}

static int check_word(const struct word *x, struct onx_err *e)
{
	const struct layer *l = find_layer(x->name, e);
	if (!l)
		return ONX_USAGE;
	if (x->n_arg < l->min_arg || x->n_arg > l->max_arg)
		return onx_fail(e, ONX_USAGE, "layers: '%s' takes %d to %d numbers, not %d", x->name, l->min_arg,
				l->max_arg, x->n_arg);
	for (int i = 0; i < x->n_arg && strcmp(x->name, "dropout") != 0; i++)
		if (!(x->arg[i] >= 1 && x->arg[i] <= 1e7) || x->arg[i] != (double)(int64_t)x->arg[i])
			return onx_fail(e, ONX_USAGE, "layers: '%s' wants whole numbers from 1, not %g", x->name,
					x->arg[i]);
	if ((l->add == NULL) != x->opens)
		return onx_fail(e, ONX_USAGE, "layers: '%s' %s", x->name,
				x->opens ? "takes no parentheses" : "wants its layers in parentheses");
	return ONX_OK;
}

static int parse(struct work *w, struct onx_err *e)
{
	char *s = onx_dup(w->mem, w->l->text);
	int depth = 0;
	if (!s)
		return onx_nomem(e, 64, "layers");
	while (*(s += strspn(s, " \t\n,")) != 0) {
		struct word *x = &w->word[w->n_word];
		if (w->n_word++ == MOST_WORDS - 1)
			return onx_fail(e, ONX_USAGE, "layers: more than %d words", MOST_WORDS - 2);
		*x = (struct word){ .closes = *s == ')' };
		if (x->closes) {
			s++;
			if (--depth < 0)
				return onx_fail(e, ONX_USAGE, "layers: a ')' too many");
			continue;
		}
		const size_t n = strcspn(s, " \t\n,()");
		char *name = onx_dupn(w->mem, s, n);
		s += n;
		x->opens = *s == '(';
		s += x->opens;
		depth += x->opens;
		x->name = name;
		if (!name)
			return onx_nomem(e, 64, "layers");
		int rc = parse_args(x, name, e);
		if (rc == ONX_OK)
			rc = check_word(x, e);
		if (rc < 0)
			return rc;
	}
	return depth == 0 ? ONX_OK : onx_fail(e, ONX_USAGE, "layers: a ')' is missing");
}

/* --- building --------------------------------------------------------------------------------------------- */

/* Type and shape of w->v, by inference. */
static int settle(struct work *w, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_consts consts;
	struct onx_feed *feed = NULL;
	struct onx_facts *f = NULL;
	struct onx_facts_want want = { .target = &w->v, .n_target = 1, .guess = true, .sizes = true };
	onx_consts_init(&consts, w->g);
	int rc = onx_bind_inputs(w->g, 1, 0, false, &mem, &feed, &want.n_feed, e);
	want.feed = feed;
	if (rc == ONX_OK)
		rc = onx_facts_make(w->g, &consts, &want, &f, e);
	if (rc == ONX_OK) {
		w->shape = f->fact[w->v].shape;
		w->type = f->fact[w->v].type;
		w->g->value[w->v].type = w->type;
	}
	onx_facts_free(f);
	onx_consts_release(&consts);
	onx_arena_release(&mem);
	return rc;
}

static int apply(struct work *w, struct onx_patch *p, uint32_t y, struct onx_err *e)
{
	int rc = onx_patch_apply(w->g, p, w->log, e);
	if (rc < 0)
		return rc;
	w->v = onx_patch_id(p, y);
	w->count++;
	return settle(w, e);
}

static int sequence(struct work *w, struct onx_err *e);

/* x + f(x); a 1x1 convolution with the right stride where the shapes differ. */
static int residual(struct work *w, struct onx_err *e)
{
	const uint32_t x = w->v;
	const struct onx_shape before = w->shape;
	if (w->depth++ >= MOST_DEPTH)
		return onx_fail(e, ONX_USAGE, "layers: parentheses nested too deep");
	int rc = sequence(w, e);
	w->depth--;
	if (rc < 0)
		return rc;
	struct onx_patch p = { .mem = w->mem, .rule = "layer", .where = "res" };
	uint32_t in[2] = { w->v, x };
	if (!onx_shape_equal(&before, &w->shape)) {
		if (w->shape.rank != 4 || w->shape.dim[2] < 1)
			return onx_fail(e, ONX_SHAPE, "layers: what is in 'res' must give rank 4");
		const int64_t s = (before.dim[2] + w->shape.dim[2] - 1) / w->shape.dim[2];
		rc = convolve(w, &p, w->shape.dim[1], 1, s, 1, x, before.dim[1], "shortcut.", &in[1], e);
	}
	return rc == ONX_OK ? apply(w, &p, op(w, &p, "Add", in, 2, NULL, 0), e) : rc;
}

/* Words up to a ')' or the end. */
static int sequence(struct work *w, struct onx_err *e)
{
	int rc = ONX_OK;
	while (rc == ONX_OK && w->at < w->n_word) {
		const struct word *x = &w->word[w->at++];
		if (x->closes)
			return ONX_OK;
		const struct layer *l = find_layer(x->name, e);
		uint32_t y = ONX_NONE;
		if (!l)
			return ONX_USAGE;
		if (w->shape.rank < 2 || (l->rank && w->shape.rank != l->rank))
			return onx_fail(e, ONX_SHAPE, "layers: '%s' cannot follow a tensor of rank %d", x->name,
					w->shape.rank);
		if (!l->add) {
			rc = residual(w, e);
		} else {
			struct onx_patch p = { .mem = w->mem, .rule = "layer", .where = x->name };
			rc = l->add(w, &p, x, &y, e);
			if (rc == ONX_OK)
				rc = apply(w, &p, y, e);
		}
		if (rc < 0)
			return onx_while(e, rc, "adding the layer '%s'", x->name);
	}
	return rc;
}

/* The weights among the values from the id `first` on. */
static int list_made(struct work *w, uint32_t first, struct onx_err *e)
{
	bool *is = NULL;
	int rc = onx_graph_weights(w->g, w->mem, &is, e);
	const char **made = ONX_NEWS(&w->g->arena, const char *, (size_t)(w->g->n_value - first) + 1);
	if (rc == ONX_OK && !made)
		rc = onx_nomem(e, 64, "layers");
	for (uint32_t v = first; rc == ONX_OK && v < w->g->n_value; v++)
		if (is[v])
			made[w->l->n_made++] = w->g->value[v].name;
	w->l->made = made;
	return rc;
}

int onx_layers_append(struct onx_graph *g, uint32_t from, struct onx_layers *l, uint32_t *to,
		      struct onx_buf *log, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct work *w = ONX_NEW(&mem, struct work);
	if (!w)
		return onx_nomem(e, sizeof *w, "layers");
	w->g = g;
	w->l = l;
	w->mem = &mem;
	w->log = log;
	w->v = from;
	const uint32_t first = g->n_value;
	l->n_made = 0;
	int rc = parse(w, e);
	if (rc == ONX_OK)
		rc = settle(w, e);
	if (rc == ONX_OK)
		rc = sequence(w, e);
	if (rc == ONX_OK)
		rc = list_made(w, first, e);
	*to = w->v;
	onx_arena_release(&mem);
	return rc;
}
