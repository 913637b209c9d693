/* plan/print.c -- the plan as stable text: golden dumps turn every refactor into an empty diff. */
#include "plan/plan.h"

static void tensor(const struct onx_plan *p, uint32_t id, struct onx_buf *out)
{
	char text[ONX_SHAPE_TEXT];
	if (id == ONX_NONE) {
		onx_buf_str(out, " -");
		return;
	}
	const struct onx_tensor *t = &p->tensor[id];
	static const char mark[] = { '?', 'c', 'w', 'g', '@', 's' };
	onx_buf_fmt(out, " %s%c", onx_shape_text(t->view.rank, t->view.dim, text, sizeof text), mark[t->at]);
	if (t->at == ONX_AT_BLOCK)
		onx_buf_fmt(out, "%zu", p->life[t->life].offset);
	else if (t->at == ONX_AT_PARAM || t->at == ONX_AT_GRAD)
		onx_buf_fmt(out, "%zu", t->element);
}

static void step(const struct onx_plan *p, uint32_t i, struct onx_buf *out)
{
	const struct onx_step *s = &p->step[i];
	char name[160];
	onx_buf_fmt(out, "%4u %s %s [%s]", i, s->back ? "back" : s->again ? "more" : "fwd ",
		    onx_node_text(p->facts->g, s->node, name, sizeof name), s->impl);
	for (uint32_t k = 0; k < s->n_x; k++)
		tensor(p, s->x[k], out);
	onx_buf_str(out, " ->");
	for (uint32_t k = 0; k < (s->back ? s->n_x : s->n_y); k++)
		tensor(p, s->back ? s->dx[k] : s->y[k], out);
	if (s->scratch != ONX_NONE)
		onx_buf_fmt(out, " scratch %zu", p->life[s->scratch].bytes);
	if (s->save != ONX_NONE && !s->back)
		onx_buf_fmt(out, " saved %zu", p->life[s->save].bytes);
	onx_buf_str(out, "\n");
}

void onx_plan_print(const struct onx_plan *p, struct onx_buf *out)
{
	onx_buf_fmt(out, "%u steps, %u of them forward; block %zu bytes (at least %zu); "
		    "%zu trainable elements; %.0f multiply-adds forward\n", p->n_step, p->n_forward, p->bytes,
		    p->live_bytes, p->n_param, p->macs);
	if (p->parts > 1)
		onx_buf_fmt(out, "in %u parts, each of as many samples as the shapes below say\n", p->parts);
	if (p->guessed)
		onx_buf_str(out, "a guess where numbers decide: the first body of an If, one turn of a Loop\n");
	for (uint32_t i = 0; i < p->n_step; i++)
		step(p, i, out);
}
