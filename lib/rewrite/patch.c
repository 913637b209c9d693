/* rewrite/patch.c -- describing a change, and the one function that makes it. */
#include "rewrite/patch.h"
#include <string.h>

#define LOCAL 0x80000000u               /* ids of a patch's own values; ONX_NONE is none of them */
enum { MOST = 0x1000000 };

static bool is_local(uint32_t id)
{
	return id != ONX_NONE && id >= LOCAL;
}

/* Room for one more at the end of a list that doubles at powers of two. */
static void *more(struct onx_patch *p, const void *list, uint32_t n, size_t size)
{
	if (p->lost || n >= MOST) {
		p->lost = true;
		return NULL;
	}
	if (n & (n - 1) && n)
		return (void *)(uintptr_t)list;
	void *v = onx_alloc(p->mem, n ? 2 * (size_t)n : 1, size);
	if (!v)
		p->lost = true;
	else if (n)
		memcpy(v, list, n * size);
	return v;
}

static uint32_t new_value(struct onx_patch *p, struct onx_patch_value x)
{
	struct onx_patch_value *v = more(p, p->value, p->n_value, sizeof *v);
	int64_t *dim = ONX_NEWS(p->mem, int64_t, ONX_RANK);
	x.name = onx_dup(p->mem, x.name);
	if (!v || !dim || !x.name) {
		p->lost = true;
		return ONX_NONE;
	}
	if (x.rank > 0)
		memcpy(dim, x.dim, (size_t)x.rank * sizeof *dim);
	x.dim = dim;
	p->value = v;
	p->value[p->n_value] = x;
	return LOCAL + p->n_value++;
}

uint32_t onx_patch_value(struct onx_patch *p, const char *name, enum onx_dtype type, int rank,
			 const int64_t *dim, const void *data)
{
	return new_value(p, (struct onx_patch_value){ .name = name, .type = type, .rank = rank, .dim = dim,
						      .data = data });
}

uint32_t onx_patch_input(struct onx_patch *p, const char *name, enum onx_dtype type, int rank,
			 const int64_t *dim)
{
	return new_value(p, (struct onx_patch_value){ .name = name, .type = type, .rank = rank, .dim = dim,
						      .input = true });
}

static uint32_t *ids(struct onx_patch *p, const uint32_t *v, uint32_t n)
{
	uint32_t *w = ONX_NEWS(p->mem, uint32_t, (size_t)n + 1);
	if (!w)
		p->lost = true;
	else if (n)
		memcpy(w, v, n * sizeof *w);
	return w;
}

static struct onx_file_attr *attrs(struct onx_patch *p, const struct onx_file_attr *v, size_t n)
{
	struct onx_file_attr *w = onx_attr_copy(p->mem, v, n);
	p->lost |= !w;
	return w;
}

void onx_patch_add(struct onx_patch *p, const struct onx_patch_node *n)
{
	struct onx_patch_node *v = more(p, p->add, p->n_add, sizeof *v);
	if (!v)
		return;
	p->add = v;
	v += p->n_add++;
	*v = *n;
	v->in = ids(p, n->in, n->n_in);
	v->out = ids(p, n->out, n->n_out);
	v->attr = attrs(p, n->attr, n->n_attr);
	v->name = onx_dup(p->mem, n->name);
	p->lost |= !v->name;
}

uint32_t onx_patch_op(struct onx_patch *p, const char *type, const char *out, enum onx_dtype out_type,
		      const uint32_t *in, uint32_t n_in, const struct onx_file_attr *attr, size_t n_attr)
{
	const uint32_t y = onx_patch_value(p, out, out_type, 0, NULL, NULL);
	onx_patch_add(p, &(struct onx_patch_node){ "", type, out, in, &y, n_in, 1, attr, n_attr });
	return y;
}

void onx_patch_drop(struct onx_patch *p, uint32_t node)
{
	uint32_t *v = more(p, p->drop, p->n_drop, sizeof *v);
	if (v)
		(p->drop = v)[p->n_drop++] = node;
}

void onx_patch_slot(struct onx_patch *p, uint32_t node, uint32_t slot, uint32_t value)
{
	struct onx_patch_slot *v = more(p, p->slot, p->n_slot, sizeof *v);
	if (v)
		(p->slot = v)[p->n_slot++] = (struct onx_patch_slot){ node, slot, value };
}

void onx_patch_out(struct onx_patch *p, uint32_t node, uint32_t slot, uint32_t value)
{
	struct onx_patch_slot *v = more(p, p->out, p->n_out, sizeof *v);
	if (v)
		(p->out = v)[p->n_out++] = (struct onx_patch_slot){ node, slot, value };
}

void onx_patch_attr(struct onx_patch *p, uint32_t node, const struct onx_file_attr *attr, size_t n)
{
	struct onx_patch_attr *v = more(p, p->attr, p->n_attr, sizeof *v);
	if (v)
		(p->attr = v)[p->n_attr++] = (struct onx_patch_attr){ node, attrs(p, attr, n), n };
}

void onx_patch_move(struct onx_patch *p, uint32_t from, uint32_t to)
{
	struct onx_patch_move *v = more(p, p->move, p->n_move, sizeof *v);
	if (v)
		(p->move = v)[p->n_move++] = (struct onx_patch_move){ from, to };
}

uint32_t onx_patch_id(const struct onx_patch *p, uint32_t id)
{
	return is_local(id) ? p->value[id - LOCAL].id : id;
}

/* --- what nobody needs any more ------------------------------------------------------------------------- */

static uint32_t moved(const struct onx_patch *p, uint32_t v)
{
	for (uint32_t i = 0; p && i < p->n_move; i++)
		if (p->move[i].from == v)
			return p->move[i].to;
	return v;
}

/* What the node will read as input k. */
static uint32_t will_read(const struct onx_graph *g, const struct onx_patch *p, uint32_t node, uint32_t k)
{
	const struct onx_node *n = &g->node[node];
	for (uint32_t i = 0; p && k < n->n_in && i < p->n_slot; i++)
		if (p->slot[i].node == node && p->slot[i].slot == k)
			return p->slot[i].value;
	return moved(p, onx_node_read(n, k));
}

/* need[v]: an output of the graph depends on it; with p, as it will be.  New values need nothing here: the
 * inputs of new nodes are needed. */
static void mark_needed(const struct onx_graph *g, const struct onx_patch *p, const bool *gone, bool *need)
{
	for (uint32_t i = 0; i < g->n_output; i++) {
		const uint32_t v = moved(p, g->output[i]);
		if (v < g->n_value)
			need[v] = true;
	}
	for (uint32_t i = 0; p && i < p->n_add; i++)
		for (uint32_t k = 0; k < p->add[i].n_in; k++)
			if (p->add[i].in[k] < g->n_value)
				need[p->add[i].in[k]] = true;
	for (uint32_t i = g->n_order; i-- > 0; ) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool any = false;
		for (uint32_t k = 0; k < n->n_out; k++)
			any |= n->out[k] != ONX_NONE && need[n->out[k]];
		if (!any || gone[g->order[i]])
			continue;
		for (uint32_t k = 0; k < onx_node_reads(n); k++) {
			const uint32_t v = will_read(g, p, g->order[i], k);
			if (v < g->n_value)
				need[v] = true;
		}
	}
}

int onx_patch_sweep(struct onx_patch *p, const struct onx_graph *g, struct onx_err *e)
{
	bool *gone = ONX_NEWS(p->mem, bool, (size_t)g->n_node + 1);
	bool *before = ONX_NEWS(p->mem, bool, (size_t)g->n_value + 1);
	bool *after = ONX_NEWS(p->mem, bool, (size_t)g->n_value + 1);
	if (!gone || !before || !after)
		return onx_nomem(e, 3.0 * g->n_value, "a patch");
	mark_needed(g, NULL, gone, before);
	for (uint32_t i = 0; i < p->n_drop; i++)
		gone[p->drop[i]] = true;
	mark_needed(g, p, gone, after);
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool was = false, is = false;
		for (uint32_t k = 0; k < n->n_out; k++)
			if (n->out[k] != ONX_NONE) {
				was |= before[n->out[k]];
				is |= after[n->out[k]];
			}
		if (was && !is && !gone[g->order[i]])
			onx_patch_drop(p, g->order[i]);
	}
	return ONX_OK;
}

/* --- application ------------------------------------------------------------------------------------------ */

static int make_values(struct onx_graph *g, struct onx_patch *p, struct onx_err *e)
{
	int rc = ONX_OK;
	for (uint32_t i = 0; rc == ONX_OK && i < p->n_value; i++) {
		struct onx_patch_value *x = &p->value[i];
		if (x->data) {
			rc = onx_graph_add_weight(g, x->name, x->type, x->rank, x->dim, x->data, &x->id, e);
			continue;
		}
		rc = onx_graph_add_value(g, x->name, x->type, &x->id, e);
		if (rc < 0 || !x->input)
			continue;
		struct onx_value *v = &g->value[x->id];
		uint32_t *list = ONX_NEWS(&g->arena, uint32_t, (size_t)g->n_input + 1);
		if (!list)
			return onx_nomem(e, 64, "an input");
		v->input = v->has_shape = true;
		v->rank = x->rank;
		for (int k = 0; k < x->rank; k++) {
			v->dim[k] = x->dim[k];
			v->sym[k] = x->dim[k] >= 0 ? NULL : k == 0 ? "batch" : onx_text(&g->arena, "dim_%d", k);
			if (x->dim[k] < 0 && !v->sym[k])
				return onx_nomem(e, 64, "an input");
		}
		if (g->n_input)
			memcpy(list, g->input, g->n_input * sizeof *list);
		list[g->n_input++] = x->id;
		g->input = list;
	}
	return rc;
}

static void drop_nodes(struct onx_graph *g, const struct onx_patch *p)
{
	for (uint32_t i = 0; i < p->n_drop; i++) {
		struct onx_node *n = &g->node[p->drop[i]];
		n->dropped = true;
		for (uint32_t k = 0; k < n->n_out; k++)
			if (n->out[k] != ONX_NONE)
				g->value[n->out[k]].def = ONX_NONE;
	}
}

static int set_outputs(struct onx_graph *g, const struct onx_patch *p, struct onx_err *e)
{
	for (uint32_t i = 0; i < p->n_out; i++) {
		struct onx_node *n = &g->node[p->out[i].node];
		const uint32_t k = p->out[i].slot, v = onx_patch_id(p, p->out[i].value);
		if (k >= n->n_out || g->value[v].def != ONX_NONE)
			return onx_fail(e, ONX_FORMAT, "%s cannot make '%s'", n->type, g->value[v].name);
		if (n->out[k] != ONX_NONE)
			g->value[n->out[k]].def = ONX_NONE;
		n->out[k] = v;
		n->changed = true;
		g->value[v].def = p->out[i].node;
		g->value[v].def_slot = k;
	}
	return ONX_OK;
}

static int add_nodes(struct onx_graph *g, const struct onx_patch *p, struct onx_err *e)
{
	int rc = ONX_OK;
	for (uint32_t i = 0; rc == ONX_OK && i < p->n_add; i++) {
		const struct onx_patch_node *n = &p->add[i];
		uint32_t id, *in = ONX_NEWS(p->mem, uint32_t, (size_t)n->n_in + 1);
		uint32_t *out = ONX_NEWS(p->mem, uint32_t, (size_t)n->n_out + 1);
		if (!in || !out)
			return onx_nomem(e, 64, "a patch");
		for (uint32_t k = 0; k < n->n_in; k++)
			in[k] = onx_patch_id(p, n->in[k]);
		for (uint32_t k = 0; k < n->n_out; k++) {
			out[k] = onx_patch_id(p, n->out[k]);
			if (out[k] != ONX_NONE && (g->value[out[k]].def != ONX_NONE || g->value[out[k]].init))
				return onx_fail(e, ONX_FORMAT, "'%s' would be made twice",
						g->value[out[k]].name);
		}
		rc = onx_graph_add_node(g, n->domain, n->type, n->name, in, n->n_in, out, n->n_out, n->attr,
					n->n_attr, &id, e);
	}
	return rc;
}

static int edit_nodes(struct onx_graph *g, const struct onx_patch *p, struct onx_err *e)
{
	for (uint32_t i = 0; i < p->n_slot; i++) {
		struct onx_node *n = &g->node[p->slot[i].node];
		if (p->slot[i].slot >= n->n_in)
			return onx_fail(e, ONX_FORMAT, "%s has no input %u", n->type, (unsigned)p->slot[i].slot);
		n->in[p->slot[i].slot] = onx_patch_id(p, p->slot[i].value);
		n->changed = true;
	}
	for (uint32_t i = 0; i < p->n_attr; i++) {
		struct onx_node *n = &g->node[p->attr[i].node];
		struct onx_file_attr *copy = onx_attr_copy(&g->arena, p->attr[i].attr, p->attr[i].n);
		if (!copy)
			return onx_nomem(e, 64, "attributes");
		int rc = n->op ? onx_attr_fill(n->op, copy, p->attr[i].n, &g->arena, &n->attr, e) : ONX_OK;
		if (rc < 0)
			return rc;
		n->new_attr = copy;
		n->n_new_attr = p->attr[i].n;
		n->changed = true;
	}
	return ONX_OK;
}

static int move_values(struct onx_graph *g, const struct onx_patch *p, struct onx_err *e)
{
	for (uint32_t i = 0; i < p->n_move; i++) {
		const uint32_t from = onx_patch_id(p, p->move[i].from), to = onx_patch_id(p, p->move[i].to);
		for (uint32_t k = 0; k < g->n_node; k++) {
			struct onx_node *n = &g->node[k];
			for (uint32_t j = 0; !n->dropped && j < n->n_captured; j++)
				if (n->captured[j] == from)
					return onx_fail(e, ONX_UNSUP, "'%s' is read inside a body, where it "
							"cannot be replaced", g->value[from].name);
			for (uint32_t j = 0; !n->dropped && j < n->n_in; j++)
				if (n->in[j] == from) {
					n->in[j] = to;
					n->changed = true;
				}
		}
		for (uint32_t k = 0; k < g->n_output; k++)
			if (g->output[k] == from) {
				g->output[k] = to;
				g->value[from].output = false;
				g->value[to].output = true;
			}
	}
	return ONX_OK;
}

int onx_patch_apply(struct onx_graph *g, struct onx_patch *p, struct onx_buf *log, struct onx_err *e)
{
	int rc = p->lost ? onx_nomem(e, 0, "a patch") : onx_graph_check(g, e);
	for (uint32_t i = 0; rc == ONX_OK && i < p->n_drop; i++)
		if (p->drop[i] >= g->n_node || g->node[p->drop[i]].dropped)
			rc = onx_fail(e, ONX_FORMAT, "there is no node %u to drop", (unsigned)p->drop[i]);
	if (rc == ONX_OK)
		rc = make_values(g, p, e);
	if (rc == ONX_OK) {
		drop_nodes(g, p);
		rc = set_outputs(g, p, e);
	}
	if (rc == ONX_OK)
		rc = add_nodes(g, p, e);
	if (rc == ONX_OK)
		rc = edit_nodes(g, p, e);
	if (rc == ONX_OK)
		rc = move_values(g, p, e);
	if (rc == ONX_OK)
		rc = onx_graph_order(g, e);
	if (rc == ONX_OK)
		rc = onx_graph_check(g, e);
	if (rc < 0)
		return onx_while(e, rc, "applying '%s' at %s", p->rule, p->where ? p->where : "the graph");
	if (log)
		onx_buf_fmt(log, "%s: %s: +%u -%u nodes\n", p->rule, p->where ? p->where : "the graph",
			    (unsigned)p->n_add, (unsigned)p->n_drop);
	return ONX_OK;
}
