/* rewrite/int8.c -- weights as int8 with a scale for each output channel. */
#include "rewrite/narrow.h"
#include <math.h>
#include <string.h>
#include "rewrite/patch.h"

enum { FEWEST = 1024, MOST = 127, SINCE_AXIS = 13, SINCE_BROADCAST = 7 };

struct work {
	struct onx_graph *g;
	struct onx_patch p;
	uint32_t *made;                 /* by value: 1 + the value that replaces it, for axis[v] */
	int *axis;
	int64_t opset;
	struct onx_narrow *n;
};

static bool flag(const struct onx_node *n, const char *name)
{
	const size_t count = n->new_attr ? n->n_new_attr : n->file ? n->file->n_attr : 0;
	const struct onx_file_attr *a = n->new_attr ? n->new_attr : n->file ? n->file->attr : NULL;
	for (size_t i = 0; i < count; i++)
		if (strcmp(a[i].name, name) == 0)
			return a[i].i != 0;
	return false;
}

/* The axis of the node's weight (input 1) that output channels lie along; -1: not for this. */
static int channels_at(const struct onx_node *n, const struct onx_weight *w)
{
	if (*n->domain || w->rank < 2)
		return -1;
	if (strcmp(n->type, "Conv") == 0)
		return 0;
	if (strcmp(n->type, "ConvTranspose") == 0)
		return 1;
	if (strcmp(n->type, "Gemm") == 0)
		return flag(n, "transB") ? 0 : 1;
	return strcmp(n->type, "MatMul") == 0 && w->rank == 2 ? 1 : -1;
}

struct numbers { float *w, *scale; int8_t *q; size_t channels, inner; };

static int load(struct work *k, const struct onx_weight *w, int axis, struct numbers *x, struct onx_err *e)
{
	const struct onx_view dst = { .n = w->n, .rank = w->rank, .dim = w->dim, .type = ONX_FLOAT, .width = 4,
				      .v = x->w = ONX_NEWS(k->p.mem, float, w->n + 1) };
	x->channels = (size_t)w->dim[axis];
	x->inner = 1;
	for (int i = axis + 1; i < w->rank; i++)
		x->inner *= (size_t)w->dim[i];
	x->scale = ONX_NEWS(k->p.mem, float, x->channels + 1);
	x->q = ONX_NEWS(k->p.mem, int8_t, w->n + 1);
	return x->w && x->scale && x->q ? onx_weight_load(w, &dst, e)
					: onx_nomem(e, 9.0 * (double)w->n, "int8 weights");
}

static void quantise(struct numbers *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float *s = &x->scale[i / x->inner % x->channels];
		*s = fmaxf(*s, fabsf(x->w[i]));
	}
	for (size_t c = 0; c < x->channels; c++) {
		x->scale[c] /= MOST;
		if (!(x->scale[c] > 0))         /* all zero, or too small for a quotient */
			x->scale[c] = 1;
	}
	for (size_t i = 0; i < n; i++) {
		const float q = nearbyintf(x->w[i] / x->scale[i / x->inner % x->channels]);
		x->q[i] = (int8_t)fminf(fmaxf(q, -MOST), MOST);
	}
}

static bool finite_all(const struct numbers *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isfinite(x->w[i]))
			return false;
	return true;
}

/* The nodes that make the weight from its int8 form; returns what they make. */
static uint32_t dequantised(struct work *k, const struct onx_value *v, int axis, const struct numbers *x)
{
	struct onx_patch *p = &k->p;
	const struct onx_weight *w = v->init;
	const char *q = onx_text(p->mem, "%s_int8", v->name), *s = onx_text(p->mem, "%s_scale", v->name);
	const char *y = onx_text(p->mem, "%s_dequantized", v->name), *f = onx_text(p->mem, "%s_int8_cast", v->name);
	const bool linear = k->opset >= SINCE_AXIS;
	int64_t dim[ONX_RANK];
	if (!q || !s || !y || !f) {
		p->lost = true;
		return ONX_NONE;
	}
	for (int i = 0; i < w->rank; i++)
		dim[i] = i == axis ? w->dim[i] : 1;
	uint32_t in[2];
	in[0] = onx_patch_value(p, q, ONX_INT8, w->rank, w->dim, x->q);
	in[1] = onx_patch_value(p, s, ONX_FLOAT, linear ? 1 : w->rank, linear ? &w->dim[axis] : dim, x->scale);
	const struct onx_file_attr along = onx_attr_int("axis", axis), to = onx_attr_int("to", ONX_FLOAT);
	if (linear)
		return onx_patch_op(p, "DequantizeLinear", y, ONX_FLOAT, in, 2, &along, 1);
	in[0] = onx_patch_op(p, "Cast", f, ONX_FLOAT, in, 1, &to, 1);
	return onx_patch_op(p, "Mul", y, ONX_FLOAT, in, 2, NULL, 0);
}

static int one(struct work *k, uint32_t id, struct onx_err *e)
{
	const struct onx_node *n = &k->g->node[id];
	if (n->n_in < 2 || n->in[1] == ONX_NONE)
		return ONX_OK;
	const uint32_t v = n->in[1];
	const struct onx_weight *w = k->g->value[v].init;
	const int axis = w && w->type == ONX_FLOAT && w->n >= FEWEST && w->rank <= ONX_RANK
			 ? channels_at(n, w) : -1;
	if (axis < 0 || (k->made[v] && k->axis[v] != axis))
		return ONX_OK;
	if (!k->made[v]) {
		struct numbers x;
		int rc = load(k, w, axis, &x, e);
		if (rc < 0)
			return rc;
		if (!finite_all(&x, w->n))
			return ONX_OK;
		quantise(&x, w->n);
		k->made[v] = 1 + dequantised(k, &k->g->value[v], axis, &x);
		k->axis[v] = axis;
		k->n->weights++;
		k->n->before += 4.0 * (double)w->n;
		k->n->after += (double)w->n + 4.0 * (double)x.channels;
	}
	k->n->nodes++;
	onx_patch_slot(&k->p, id, 1, k->made[v] - 1);
	return ONX_OK;
}

int onx_to_int8(struct onx_graph *g, struct onx_narrow *n, struct onx_buf *log, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct work k = { .g = g, .p = { .mem = &mem, .rule = "int8", .where = "weights" }, .n = n,
			  .opset = onx_model_opset(g->model, "") };
	int rc = ONX_OK;
	*n = (struct onx_narrow){ 0 };
	k.made = ONX_NEWS(&mem, uint32_t, (size_t)g->n_value + 1);
	k.axis = ONX_NEWS(&mem, int, (size_t)g->n_value + 1);
	if (!k.made || !k.axis)
		rc = onx_nomem(e, 8.0 * g->n_value, "int8 weights");
	else if (k.opset < SINCE_BROADCAST)
		rc = onx_fail(e, ONX_UNSUP, "int8 weights need opset %d, the model has %lld", SINCE_BROADCAST,
			      (long long)k.opset);
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++)
		rc = one(&k, g->order[i], e);
	if (rc == ONX_OK && n->weights)
		rc = onx_patch_sweep(&k.p, g, e);
	if (rc == ONX_OK && n->weights)
		rc = onx_patch_apply(g, &k.p, log, e);
	onx_arena_release(&mem);
	return rc;
}
