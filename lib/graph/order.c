/* graph/order.c -- topological order (Kahn), lowest id first, so that a file's own order is kept. */
#include "graph/graph_i.h"
#include <string.h>

struct heap { uint32_t *v, n; };        /* smallest id on top */

static void push(struct heap *h, uint32_t x)
{
	uint32_t i = h->n++;
	for (; i > 0 && h->v[(i - 1) / 2] > x; i = (i - 1) / 2)
		h->v[i] = h->v[(i - 1) / 2];
	h->v[i] = x;
}

static uint32_t pop(struct heap *h)
{
	const uint32_t top = h->v[0], x = h->v[--h->n];
	uint32_t i = 0;
	for (;;) {
		uint32_t c = 2 * i + 1;
		if (c >= h->n)
			break;
		if (c + 1 < h->n && h->v[c + 1] < h->v[c])
			c++;
		if (h->v[c] >= x)
			break;
		h->v[i] = h->v[c];
		i = c;
	}
	h->v[i] = x;
	return top;
}

/* The node that makes v and has to run before its reader; ONX_NONE: none does. */
static uint32_t maker(const struct onx_graph *g, uint32_t v)
{
	return v == ONX_NONE || g->value[v].def == ONX_NONE ||
	       g->node[g->value[v].def].dropped ? ONX_NONE : g->value[v].def;
}

/* The name of the node that was visited as the s-th, for the fault. */
static const char *visited(const struct onx_graph *g, const uint32_t *step, uint32_t s)
{
	for (uint32_t i = 0; i < g->n_node; i++) {
		const struct onx_node *x = &g->node[i];
		if (step[i] == s)
			return *x->name ? x->name :
			       x->n_out && x->out[0] != ONX_NONE ? g->value[x->out[0]].name : x->type;
	}
	return "?";
}

/* Walks back from a node that never became ready until a node comes again, and says the circle. */
static int name_cycle(const struct onx_graph *g, const uint32_t *missing, struct onx_arena *a,
		      struct onx_err *e)
{
	uint32_t *step = ONX_NEWS(a, uint32_t, (size_t)g->n_node + 1);
	struct onx_buf b = { 0 };
	uint32_t at = 0, n = 0;

	if (!step)
		return onx_nomem(e, (double)g->n_node * sizeof *step, "order");
	while (g->node[at].dropped || missing[at] == 0)
		at++;
	while (step[at] == 0) {
		const struct onx_node *x = &g->node[at];
		step[at] = ++n;
		for (uint32_t i = 0; i < onx_node_reads(x); i++) {
			const uint32_t d = maker(g, onx_node_read(x, i));
			if (d != ONX_NONE && missing[d] > 0) {
				at = d;
				break;
			}
		}
	}
	/* The steps went against the flow: from the last one down to where the circle closed. */
	for (uint32_t s = n; s >= step[at] && b.len < 600; s--)
		onx_buf_fmt(&b, "'%s' -> ", visited(g, step, s));
	onx_buf_fmt(&b, "'%s'", visited(g, step, n));
	int rc = b.lost ? onx_nomem(e, 700, "order") : onx_fail(e, ONX_FORMAT, "cycle: %s", b.data);
	onx_buf_release(&b);
	return rc;
}

/* missing[n]: inputs of n still to come; readers in lists: head[value's maker] -> next. */
struct edges { uint32_t *missing, *head, *next, *to; };

static int collect(const struct onx_graph *g, struct onx_arena *a, struct edges *d, struct onx_err *e)
{
	size_t n = 1, k = 0;
	for (uint32_t i = 0; i < g->n_node; i++)
		n += onx_node_reads(&g->node[i]);
	d->missing = ONX_NEWS(a, uint32_t, (size_t)g->n_node + 1);
	d->head = ONX_NEWS(a, uint32_t, (size_t)g->n_node + 1);
	d->next = ONX_NEWS(a, uint32_t, n);
	d->to = ONX_NEWS(a, uint32_t, n);
	if (!d->missing || !d->head || !d->next || !d->to || n >= ONX_NONE)
		return onx_nomem(e, (double)n * 8, "order");
	memset(d->head, 0xff, ((size_t)g->n_node + 1) * sizeof *d->head);
	for (uint32_t i = 0; i < g->n_node; i++) {
		const struct onx_node *x = &g->node[i];
		for (uint32_t j = 0; !x->dropped && j < onx_node_reads(x); j++) {
			const uint32_t m = maker(g, onx_node_read(x, j));
			if (m == ONX_NONE)
				continue;
			d->to[k] = i;
			d->next[k] = d->head[m];
			d->head[m] = (uint32_t)k++;
			d->missing[i]++;
		}
	}
	return ONX_OK;
}

int onx_graph_order(struct onx_graph *g, struct onx_err *e)
{
	struct onx_arena scratch = { 0 };
	struct edges d = { NULL, NULL, NULL, NULL };
	uint32_t live = 0;
	struct heap h = { ONX_NEWS(&scratch, uint32_t, (size_t)g->n_node + 1), 0 };
	uint32_t *order = ONX_NEWS(&g->arena, uint32_t, (size_t)g->n_node + 1);
	int rc = h.v && order ? collect(g, &scratch, &d, e)
			      : onx_nomem(e, (double)g->n_node * sizeof *order, "order");
	if (rc < 0)
		goto out;
	for (uint32_t i = 0; i < g->n_node; i++)
		if (!g->node[i].dropped) {
			live++;
			if (d.missing[i] == 0)
				push(&h, i);
		}
	g->order = order;
	g->n_order = 0;
	while (h.n > 0) {
		const uint32_t x = pop(&h);
		order[g->n_order++] = x;
		for (uint32_t k = d.head[x]; k != ONX_NONE; k = d.next[k])
			if (--d.missing[d.to[k]] == 0)
				push(&h, d.to[k]);
	}
	if (g->n_order < live)
		rc = name_cycle(g, d.missing, &scratch, e);
out:
	onx_arena_release(&scratch);
	return rc;
}
