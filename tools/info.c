/* tools/info.c -- gathering what onnx-info prints. */
#include <stdlib.h>
#include <string.h>
#include "info.h"
#include "model/mark.h"

const char *onx_declared_shape(const struct onx_value *v, char *buf, size_t n)
{
	size_t at = 0;

	if (!v->has_shape) {
		snprintf(buf, n, "of unknown shape");
		return buf;
	}
	buf[0] = 0;
	for (int d = 0; d <= v->rank && at < n; d++) {
		const char *sep = d == 0 ? "[" : ",";

		if (d == v->rank)
			at += (size_t)snprintf(buf + at, n - at, "%s]", d == 0 ? "[" : "");
		else if (v->dim[d] >= 0)
			at += (size_t)snprintf(buf + at, n - at, "%s%lld", sep, (long long)v->dim[d]);
		else
			at += (size_t)snprintf(buf + at, n - at, "%s%.32s", sep,
					       v->sym[d] && *v->sym[d] ? v->sym[d] : "?");
	}
	return buf;
}

static int by_count(const void *x, const void *y)
{
	const struct onx_op_count *a = x, *b = y;
	int c;

	if (a->n != b->n)
		return a->n < b->n ? 1 : -1;
	c = strcmp(a->type, b->type);
	return c ? c : strcmp(a->domain, b->domain);
}

static int count_ops(struct onx_info *f, struct onx_err *e)
{
	f->op = ONX_NEWS(&f->w->mem, struct onx_op_count, f->g->n_node + 1);
	if (!f->op)
		return onx_nomem(e, (double)(f->g->n_node * sizeof *f->op), "the list of operators");
	for (uint32_t i = 0; i < f->g->n_node; i++) {
		const struct onx_node *n = &f->g->node[i];
		uint32_t k = 0;

		if (n->dropped)
			continue;
		while (k < f->n_op && (strcmp(f->op[k].type, n->type) != 0 ||
				       strcmp(f->op[k].domain, n->domain) != 0))
			k++;
		if (k == f->n_op)
			f->op[f->n_op++] = (struct onx_op_count){ n->domain, n->type, n->version, 0,
								  n->op != NULL };
		f->op[k].n++;
	}
	if (f->n_op)
		qsort(f->op, f->n_op, sizeof *f->op, by_count);
	return ONX_OK;
}

/* Which constants are running statistics. */
static int find_stats(struct onx_info *f, struct onx_err *e)
{
	f->stat = ONX_NEWS(&f->w->mem, bool, f->g->n_value + 1);
	if (!f->stat)
		return onx_nomem(e, f->g->n_value, "the list of statistics");
	for (uint32_t i = 0; i < f->g->n_node; i++) {
		const struct onx_node *n = &f->g->node[i];

		for (uint32_t k = 0; n->op && !n->dropped && k < n->n_in && k < 16; k++)
			if (n->op->stat >> k & 1 && n->in[k] != ONX_NONE && f->g->value[n->in[k]].init)
				f->stat[n->in[k]] = true;
	}
	return ONX_OK;
}

/* Which weights train by the mark; all of them where nobody has said. */
static int find_trained(struct onx_info *f, struct onx_err *e)
{
	const char *const *name;
	size_t n;
	int rc = onx_mark_list(f->w->model, ONX_MARK "train", &f->w->mem, &name, &n, e);

	if (rc < 0)
		return rc;
	f->train = ONX_NEWS(&f->w->mem, bool, f->g->n_value + 1);
	if (!f->train)
		return onx_nomem(e, f->g->n_value, "the list of weights");
	f->marked = name != NULL;
	for (size_t i = 0; i < n; i++) {
		uint32_t v = onx_graph_find(f->g, name[i]);

		if (v != ONX_NONE && f->g->value[v].init)
			f->train[v] = true;
		else
			onx_say(&f->w->note, ONX_WARN, "the mark 'train' names '%s', which is no weight here",
				name[i]);
	}
	if (!f->marked)
		memcpy(f->train, f->weight, f->g->n_value * sizeof *f->train);
	return ONX_OK;
}

static void add_up(struct onx_info *f)
{
	for (uint32_t v = 0; v < f->g->n_value; v++) {
		const struct onx_weight *init = f->g->value[v].init;

		if (!init)
			continue;
		if (f->weight[v]) {
			f->n_weight++;
			f->weights += init->n;
		}
		if (f->stat[v])
			f->stats += init->n;
		if (f->weight[v] || f->stat[v])
			f->bytes += init->n * (uint64_t)onx_dtype_bits(init->type) / 8;
		if (f->train[v]) {
			f->n_train++;
			f->trains += init->n;
		}
	}
}

/* A forward plan for one batch.  That a model cannot be run is a finding and not a fault here. */
static int make_plan(struct onx_info *f, struct onx_err *e)
{
	struct onx_plan_want want = { .loss = ONX_NONE, .threads = 1, .dry = true };
	struct onx_feed *feed = NULL;
	uint32_t n = 0;
	int rc = onx_bind_inputs(f->g, f->o->batch, f->o->size, false, &f->w->mem, &feed, &n, &f->why);

	onx_consts_init(&f->consts, f->g);
	want.facts.feed = feed;
	want.facts.n_feed = n;
	want.facts.guess = true;
	if (rc == ONX_OK)
		rc = onx_plan_make(f->g, &f->consts, &want, &f->plan, &f->why);
	if (rc == ONX_NOMEM) {
		*e = f->why;
		return rc;
	}
	return ONX_OK;
}

int onx_info_gather(struct onx_work *w, const struct onx_info_opts *o, struct onx_info *f,
		    struct onx_err *e)
{
	struct onx_err probe = { 0 };
	int rc;

	*f = (struct onx_info){ .w = w, .o = o };
	rc = onx_graph_build(w->model, ONX_BUILD_LAX, &f->g, e);
	if (rc == ONX_OK)
		rc = count_ops(f, e);
	if (rc == ONX_OK)
		rc = find_stats(f, e);
	if (rc == ONX_OK)
		rc = onx_graph_weights(f->g, &w->mem, &f->weight, e);
	if (rc == ONX_OK)
		rc = onx_graph_quantised(f->g, &w->mem, &f->quant, &f->n_quant, e);
	if (rc == ONX_OK)
		rc = find_trained(f, e);
	if (rc < 0)
		return rc;
	add_up(f);
	rc = make_plan(f, e);
	if (rc == ONX_OK && f->plan && onx_probe(f->g, o->size, true, true, &w->mem, &f->probe, &probe) < 0)
		f->probe = NULL;
	return rc;
}

void onx_info_release(struct onx_info *f)
{
	onx_plan_free(f->plan);
	if (f->g)
		onx_consts_release(&f->consts);
	onx_graph_free(f->g);
}
