/* tools/info_dot.c -- the graph for Graphviz: what trains is filled, what is frozen is not. */
#include <string.h>
#include "info.h"

/* A quoted DOT string. */
static void quoted(struct onx_buf *out, const char *s)
{
	onx_buf_str(out, "\"");
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			onx_buf_str(out, "\\");
		onx_buf_add(out, (unsigned char)*s < ' ' ? "?" : s, 1);
	}
	onx_buf_str(out, "\"");
}

static void node(const struct onx_info *f, uint32_t i, struct onx_buf *out)
{
	const struct onx_node *n = &f->g->node[i];
	bool trains = false;

	for (uint32_t k = 0; k < n->n_in; k++)
		trains |= n->in[k] != ONX_NONE && f->marked && f->train[n->in[k]];
	onx_buf_fmt(out, "\tn%u [shape=box,style=%s,label=", i, trains ? "\"rounded,filled\"" : "rounded");
	quoted(out, n->type);
	onx_buf_str(out, ",tooltip=");
	quoted(out, *n->name ? n->name : n->type);
	onx_buf_str(out, "];\n");
	for (uint32_t k = 0; k < n->n_in; k++) {
		const struct onx_value *v = n->in[k] == ONX_NONE ? NULL : &f->g->value[n->in[k]];
		char shape[600];

		if (!v || v->init)
			continue;
		if (v->def == ONX_NONE)
			onx_buf_fmt(out, "\tv%u -> n%u", n->in[k], i);
		else
			onx_buf_fmt(out, "\tn%u -> n%u", v->def, i);
		onx_buf_str(out, " [label=");
		quoted(out, f->plan && f->plan->facts->fact[n->in[k]].type != ONX_UNDEFINED
			    ? onx_shape_text(f->plan->facts->fact[n->in[k]].shape.rank,
					     f->plan->facts->fact[n->in[k]].shape.dim, shape, sizeof shape)
			    : "");
		onx_buf_str(out, "];\n");
	}
}

void onx_info_dot(const struct onx_info *f, struct onx_buf *out)
{
	onx_buf_str(out, "digraph model {\n\tnode [fontname=\"sans-serif\",fillcolor=\"#ffd9a0\"];\n"
		    "\tedge [fontname=\"sans-serif\",fontsize=9];\n");
	for (uint32_t i = 0; i < f->g->n_input; i++) {
		onx_buf_fmt(out, "\tv%u [shape=ellipse,label=", f->g->input[i]);
		quoted(out, f->g->value[f->g->input[i]].name);
		onx_buf_str(out, "];\n");
	}
	for (uint32_t i = 0; i < f->g->n_order; i++)
		node(f, f->g->order[i], out);
	for (uint32_t i = 0; i < f->g->n_output; i++) {
		const struct onx_value *v = &f->g->value[f->g->output[i]];

		onx_buf_fmt(out, "\to%u [shape=ellipse,label=", i);
		quoted(out, v->name);
		onx_buf_str(out, "];\n");
		if (v->def != ONX_NONE)
			onx_buf_fmt(out, "\tn%u -> o%u;\n", v->def, i);
	}
	onx_buf_str(out, "}\n");
}
