/* graph/export.c -- the graph back into its model.  What nobody touched keeps its message: nodes, value
 * declarations, and initializers that were unused in the file already. */
#include "graph/graph_i.h"
#include <string.h>

struct export {
	struct onx_graph *g;
	const struct onx_file_graph *old;
	struct onx_file_graph f;        /* what is being written */
	struct onx_arena *mem;          /* of the model: views into it outlive the graph */
	bool *used_before, *used_now;   /* by value */
	bool *local;                    /* by node: serves only nodes of our own domain: never in a file */
	bool any;                       /* something differs */
};

static int start(struct export *x, struct onx_err *e)
{
	const struct onx_file_graph *o = x->old;
	const size_t n_new = x->g->n_new_init;
	x->f = *o;
	x->f.node = ONX_NEWS(x->mem, struct onx_file_node, (size_t)x->g->n_order + 1);
	x->f.init = ONX_NEWS(x->mem, const struct onx_weight *, o->n_init + n_new + 1);
	x->f.input = ONX_NEWS(x->mem, struct onx_file_value, o->n_input + n_new + x->g->n_input + 1);
	x->f.output = ONX_NEWS(x->mem, struct onx_file_value, (size_t)x->g->n_output + 1);
	x->f.info = ONX_NEWS(x->mem, struct onx_file_value, o->n_info + 1);
	x->used_before = ONX_NEWS(x->mem, bool, (size_t)x->g->n_value + 1);
	x->used_now = ONX_NEWS(x->mem, bool, (size_t)x->g->n_value + 1);
	x->local = ONX_NEWS(x->mem, bool, (size_t)x->g->n_node + 1);
	if (!x->local || !x->f.node || !x->f.init || !x->f.input || !x->f.output || !x->f.info || !x->used_before ||
	    !x->used_now)
		return onx_nomem(e, (double)x->g->n_order * sizeof *x->f.node, "a graph to write");
	return ONX_OK;
}

/* The loss, and new nodes that nothing but the loss reads. */
static void mark_local(struct export *x)
{
	const struct onx_graph *g = x->g;
	bool *file = x->used_now;               /* values that stay in the file; cleared below */
	for (uint32_t i = 0; i < g->n_output; i++)
		file[g->output[i]] = true;
	for (uint32_t i = g->n_order; i-- > 0; ) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool read = n->proto != NULL || (n->file && n->file->call);
		for (uint32_t k = 0; k < n->n_out; k++)
			read |= n->out[k] != ONX_NONE && file[n->out[k]];
		x->local[g->order[i]] = strcmp(n->domain, "onnx_adapt") == 0 || !read;
		for (uint32_t k = 0; k < onx_node_reads(n) && !x->local[g->order[i]]; k++)
			if (onx_node_read(n, k) != ONX_NONE)
				file[onx_node_read(n, k)] = true;
	}
	memset(file, 0, (size_t)g->n_value * sizeof *file);
}

static void mark_uses(struct export *x)
{
	const struct onx_graph *g = x->g;
	for (uint32_t i = 0; i < g->n_node; i++) {
		const struct onx_node *n = &g->node[i];
		for (uint32_t k = 0; n->file && k < n->file->n_in; k++) {
			const uint32_t v = *n->file->in[k] ? onx_graph_find(g, n->file->in[k]) : ONX_NONE;
			if (v != ONX_NONE)
				x->used_before[v] = true;
		}
		for (uint32_t k = 0; k < n->n_captured; k++) {
			x->used_before[n->captured[k]] = true;
			x->used_now[n->captured[k]] |= !n->dropped;
		}
		for (uint32_t k = 0; !n->dropped && !x->local[i] && k < n->n_in; k++)
			if (n->in[k] != ONX_NONE)
				x->used_now[n->in[k]] = true;
	}
	for (size_t i = 0; i < x->old->n_output; i++) {
		const uint32_t v = onx_graph_find(g, x->old->output[i].name);
		if (v != ONX_NONE)
			x->used_before[v] = true;
	}
	for (uint32_t i = 0; i < g->n_output; i++)
		x->used_now[g->output[i]] = true;
}

/* --- nodes ------------------------------------------------------------------------------------------- */

static int put_names(struct export *x, const uint32_t *id, uint32_t n, const char *const **out,
		     struct onx_err *e)
{
	const char **v = ONX_NEWS(x->mem, const char *, (size_t)n + 1);
	if (!v)
		return onx_nomem(e, (double)n * sizeof *v, "names");
	for (uint32_t i = 0; i < n; i++) {
		v[i] = id[i] == ONX_NONE ? "" : onx_dup(x->mem, x->g->value[id[i]].name);
		if (!v[i])
			return onx_nomem(e, 64, "names");
	}
	*out = v;
	return ONX_OK;
}

static int put_attrs(struct export *x, const struct onx_node *n, struct onx_file_node *f, struct onx_err *e)
{
	struct onx_file_attr *v = ONX_NEWS(x->mem, struct onx_file_attr, n->n_new_attr + 1);
	if (!v)
		return onx_nomem(e, (double)n->n_new_attr * sizeof *v, "attributes");
	for (size_t i = 0; i < n->n_new_attr; i++)
		v[i] = n->new_attr[i];
	f->attr = v;
	f->n_attr = n->n_new_attr;
	return ONX_OK;
}

/* A Constant whose numbers moved in training but stand in an attribute that is not a tensor. */
static int put_constant(struct export *x, const struct onx_node *n, struct onx_file_node *f,
			struct onx_err *e)
{
	struct onx_file_attr now;
	size_t at;
	const struct onx_value *v = n->n_out && n->out[0] != ONX_NONE ? &x->g->value[n->out[0]] : NULL;
	if (!v || !v->from_node || n->changed)
		return ONX_OK;
	int rc = onx_constant_changed(x->g->model, n->file, v->init, x->mem, &at, &now, e);
	if (rc <= 0)
		return rc;
	struct onx_file_attr *list = ONX_NEWS(x->mem, struct onx_file_attr, f->n_attr + 1);
	if (!list)
		return onx_nomem(e, (double)f->n_attr * sizeof *list, "attributes");
	for (size_t i = 0; i < f->n_attr; i++)
		list[i] = i == at ? now : f->attr[i];
	f->attr = list;
	f->changed = x->any = true;
	return ONX_OK;
}

static int put_node(struct export *x, const struct onx_node *n, struct onx_file_node *f, struct onx_err *e)
{
	const struct onx_file_attr *moved;
	if (n->file)
		*f = *n->file;
	int rc = n->file ? onx_lift_back(x->g, n, f, x->mem, &moved, e) : 0;
	if (rc < 0)
		return rc;
	if (rc > 0) {
		f->attr = moved;
		f->changed = x->any = true;
	}
	if (n->file && !n->changed)
		return put_constant(x, n, f, e);
	x->any = true;
	f->changed = n->proto != NULL;
	f->proto = n->proto;
	f->name = onx_dup(x->mem, n->name);
	f->type = onx_dup(x->mem, n->type);
	f->domain = onx_dup(x->mem, n->domain);
	f->n_in = n->file && n->op && n->op->lift && n->n_in > 1 ? 1 : n->n_in; /* lifted ones stand in attributes */
	f->n_out = n->n_out;
	if (!f->doc)
		f->doc = "";
	if (!f->name || !f->type || !f->domain)
		return onx_nomem(e, 64, "names");
	rc = put_names(x, n->in, (uint32_t)f->n_in, &f->in, e);
	if (rc == ONX_OK)
		rc = put_names(x, n->out, n->n_out, &f->out, e);
	if (rc == ONX_OK && (!n->file || n->new_attr))
		rc = put_attrs(x, n, f, e);
	return rc;
}

/* The call of a function whose nodes all stand untouched from position i on; how many they are, 0: none such. */
static uint32_t whole_call(const struct export *x, uint32_t i)
{
	const struct onx_graph *g = x->g;
	const struct onx_node *first = &g->node[g->order[i]];
	const struct onx_file_node *call = first->file && first->file->call ? first->file->call->node : NULL;
	size_t all = 0;
	uint32_t n = 0;
	if (!call)
		return 0;
	for (uint32_t k = 0; k < g->n_node; k++)
		all += g->node[k].file && g->node[k].file->call && g->node[k].file->call->node == call;
	for (; i + n < g->n_order; n++) {
		const struct onx_node *d = &g->node[g->order[i + n]];
		if (!d->file || !d->file->call || d->file->call->node != call || d->changed || d->dropped)
			break;
	}
	return n == all ? n : 0;
}

/* Does a node of a function mean in the main graph what it means there?  Only of one opset is that sure: a row of the
 * table may know two spellings (axes of ReduceSum as an attribute and as an input). */
static bool fits(const struct onx_graph *g, const struct onx_node *n)
{
	return !n->file || !n->file->call || onx_model_opset(g->model, n->domain) == n->version;
}

static int same_opset(const struct export *x, const struct onx_node *n, struct onx_err *e)
{
	if (fits(x->g, n))
		return ONX_OK;
	return onx_fail(e, ONX_UNSUP, "%s '%s' of a function is of opset %d, the model's is %lld: a change inside this "
			"function cannot be written", n->type, n->name, n->version,
			(long long)onx_model_opset(x->g->model, n->domain));
}

/* Nodes of one call stand behind each other. */
int onx_graph_whole(const struct onx_graph *g, struct onx_arena *a, bool **out, struct onx_err *e)
{
	bool *is = ONX_NEWS(a, bool, (size_t)g->n_node + 1);
	if (!is)
		return onx_nomem(e, g->n_node, "calls of functions");
	for (uint32_t i = 0, end; i < g->n_node; i = end) {
		const struct onx_file_node *f = g->node[i].file;
		bool whole = false;
		for (end = i; end < g->n_node; end++) {
			const struct onx_node *n = &g->node[end];
			if (!f || !f->call || !n->file || !n->file->call || n->file->call->node != f->call->node)
				break;
			whole |= !fits(g, n);
		}
		end += end == i;
		for (uint32_t k = i; k < end; k++)
			is[k] = whole;
	}
	*out = is;
	return ONX_OK;
}

static int put_nodes(struct export *x, struct onx_err *e)
{
	struct onx_file_node *v = (struct onx_file_node *)(uintptr_t)x->f.node;
	size_t n = 0;
	for (uint32_t i = 0; i < x->g->n_order; i++) {
		const struct onx_node *d = &x->g->node[x->g->order[i]];
		const uint32_t call = whole_call(x, i);
		if (call) {
			v[n++] = *d->file->call->node;
			i += call - 1;
			continue;
		}
		const bool inner = d->file && d->file->call;
		if (x->local[x->g->order[i]] && !(inner && strcmp(d->domain, "onnx_adapt") == 0))
			continue;
		if (inner) {
			int rc = same_opset(x, d, e);
			if (rc < 0)
				return rc;
			x->any = true;
		}
		int rc = put_node(x, d, &v[n++], e);
		if (rc < 0)
			return rc;
	}
	x->any |= n != x->old->n_node;
	x->f.n_node = n;
	return ONX_OK;
}

/* --- values ------------------------------------------------------------------------------------------ */

static int put_value(struct export *x, uint32_t id, const struct onx_file_value *old,
		     struct onx_file_value *f, struct onx_err *e)
{
	const struct onx_value *v = &x->g->value[id];
	if (old && !v->changed) {
		*f = *old;
		return ONX_OK;
	}
	x->any = true;
	*f = (struct onx_file_value){ .name = onx_dup(x->mem, v->name), .type = v->type, .kind = "tensor",
				      .has_shape = v->has_shape, .rank = v->rank,
				      .proto = old ? old->proto : NULL, .changed = old != NULL };
	struct onx_file_dim *dim = ONX_NEWS(x->mem, struct onx_file_dim, (size_t)v->rank + 1);
	if (!dim || !f->name)
		return onx_nomem(e, 256, "a shape");
	for (int i = 0; i < v->rank; i++) {
		const char *sym = v->dim[i] < 0 ? v->sym[i] : NULL;
		dim[i] = (struct onx_file_dim){ v->dim[i] < 0 ? -1 : v->dim[i], onx_dup(x->mem, sym) };
		if (sym && !dim[i].param)
			return onx_nomem(e, 256, "a shape");
	}
	f->dim = dim;
	return ONX_OK;
}

static const struct onx_file_value *find_value(const struct onx_file_value *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return &v[i];
	return NULL;
}

/* Is the initializer of the file still the value's own? */
static bool replaced(const struct export *x, uint32_t v, const struct onx_weight *w)
{
	return v != ONX_NONE && x->g->value[v].init && x->g->value[v].init->proto != w->proto;
}

static bool keeps_init(const struct export *x, uint32_t v)
{
	return v == ONX_NONE || x->used_now[v] || !x->used_before[v];
}

static int put_inits(struct export *x, struct onx_err *e)
{
	const struct onx_weight **init = (const struct onx_weight **)(uintptr_t)x->f.init;
	struct onx_file_value *in = (struct onx_file_value *)(uintptr_t)x->f.input;
	size_t n = 0;
	for (size_t i = 0; i < x->old->n_init; i++) {
		const uint32_t v = onx_graph_find(x->g, x->old->init[i]->name);
		if (keeps_init(x, v) && !replaced(x, v, x->old->init[i]))
			init[n++] = x->old->init[i];
	}
	x->any |= n != x->old->n_init;
	for (uint32_t i = 0; i < x->g->n_new_init; i++) {
		const struct onx_weight *w = x->g->new_init[i];
		const uint32_t v = onx_graph_find(x->g, w->name);
		bool there = v == ONX_NONE || !x->used_now[v] || x->g->value[v].init != w;
		for (size_t k = 0; k < n && !there; k++)
			there = init[k]->proto == w->proto;
		if (there)
			continue;
		x->any = true;
		init[n++] = w;
		if (onx_model_ir(x->g->model) >= 4 || find_value(x->old->input, x->old->n_input, w->name))
			continue;
		int rc = put_value(x, v, NULL, &in[x->f.n_input++], e); /* IR 3 wants it declared, too */
		if (rc < 0)
			return rc;
	}
	x->f.n_init = n;
	return ONX_OK;
}

static int put_inputs(struct export *x, struct onx_err *e)
{
	struct onx_file_value *in = (struct onx_file_value *)(uintptr_t)x->f.input;
	size_t n = 0;
	for (size_t i = 0; i < x->old->n_input; i++) {
		const uint32_t v = onx_graph_find(x->g, x->old->input[i].name);
		if (v != ONX_NONE && x->g->value[v].init && !keeps_init(x, v)) {
			x->any = true;
			continue;
		}
		int rc = v == ONX_NONE ? ONX_OK : put_value(x, v, &x->old->input[i], &in[n], e);
		if (rc < 0)
			return rc;
		if (v == ONX_NONE)
			in[n] = x->old->input[i];
		n++;
	}
	for (uint32_t i = 0; i < x->g->n_input; i++) {          /* of networks made from nothing */
		const uint32_t v = x->g->input[i];
		if (!x->used_now[v] || find_value(x->old->input, x->old->n_input, x->g->value[v].name))
			continue;
		int rc = put_value(x, v, NULL, &in[n++], e);
		if (rc < 0)
			return rc;
	}
	x->f.n_input = n;
	return ONX_OK;
}

static int put_outputs(struct export *x, struct onx_err *e)
{
	struct onx_file_value *out = (struct onx_file_value *)(uintptr_t)x->f.output;
	struct onx_file_value *info = (struct onx_file_value *)(uintptr_t)x->f.info;
	int rc = ONX_OK;
	for (uint32_t i = 0; rc == ONX_OK && i < x->g->n_output; i++)
		rc = put_value(x, x->g->output[i],
			       find_value(x->old->output, x->old->n_output, x->g->value[x->g->output[i]].name),
			       &out[i], e);
	x->f.n_output = x->g->n_output;
	x->any |= x->f.n_output != x->old->n_output;
	x->f.n_info = 0;
	for (size_t i = 0; rc == ONX_OK && i < x->old->n_info; i++) {
		const uint32_t v = onx_graph_find(x->g, x->old->info[i].name);
		const struct onx_value *d = v == ONX_NONE ? NULL : &x->g->value[v];
		if (d && d->changed && !d->has_shape) {
			x->any = true;
			continue;
		}
		if (d && !d->init && !d->input && !d->output)
			rc = put_value(x, v, &x->old->info[i], &info[x->f.n_info++], e);
		else
			info[x->f.n_info++] = x->old->info[i];
	}
	return rc;
}

int onx_graph_export(struct onx_graph *g, struct onx_err *e)
{
	struct export x = { .g = g, .old = onx_model_graph(g->model), .mem = onx_model_arena(g->model) };
	int rc = start(&x, e);
	if (rc < 0)
		return rc;
	mark_local(&x);
	mark_uses(&x);
	rc = put_nodes(&x, e);
	if (rc == ONX_OK)
		rc = put_inputs(&x, e);
	if (rc == ONX_OK)
		rc = put_inits(&x, e);
	if (rc == ONX_OK)
		rc = put_outputs(&x, e);
	return rc == ONX_OK && x.any ? onx_model_set_graph(g->model, &x.f, e) : rc;
}
