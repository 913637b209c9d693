/* op/oldcall.c -- see old.h. */
#include "op/old.h"
#include <string.h>

#define onx_ops_binary ONX_R(onx_ops_binary)
#define onx_ops_integer ONX_R(onx_ops_integer)
#define onx_ops_shape ONX_R(onx_ops_shape)
#define onx_ops_movement ONX_R(onx_ops_movement)
#define onx_ops_pad ONX_R(onx_ops_pad)
#define onx_ops_resize ONX_R(onx_ops_resize)
#define onx_ops_cast ONX_R(onx_ops_cast)
#define onx_ops_pooling ONX_R(onx_ops_pooling)
#define onx_ops_unary ONX_R(onx_ops_unary)
extern const struct onx_op onx_ops_binary[], onx_ops_integer[], onx_ops_shape[], onx_ops_movement[],
	onx_ops_pad[], onx_ops_resize[], onx_ops_cast[], onx_ops_pooling[], onx_ops_unary[];

static const struct onx_op *const families[] = {
	onx_ops_binary, onx_ops_integer, onx_ops_shape, onx_ops_movement, onx_ops_pad, onx_ops_resize,
	onx_ops_cast, onx_ops_pooling, onx_ops_unary
};

static const struct onx_op *later(const struct onx_old *o)
{
	return &families[o->family][o->row];
}

int onx_old_open(struct onx_infer *s, enum onx_family family, const char *type, int version, struct onx_old **out,
		    struct onx_err *e)
{
	const struct onx_op *best = NULL, *all = families[family];
	struct onx_old *o = ONX_NEW(s->mem, struct onx_old);

	*out = o;
	if (!o)
		return onx_nomem(e, sizeof *o, "an old operator");
	for (const struct onx_op *op = all; op->type; op++)
		if (!*op->domain && strcmp(op->type, type) == 0 && op->since <= version &&
		    (!best || op->since > best->since))
			best = op;
	o->now = *s;
	o->now.version = version;
	for (int i = 0; i < s->n_in && i < 8; i++)
		o->in[i] = s->in[i];
	o->now.in = o->in;
	s->geo = o;
	if (!best)
		return onx_fail(e, ONX_UNSUP, "operator '%s' of opset %d is not supported", type, version);
	o->family = family;
	o->row = (int)(best - all);
	if (!best->attr)
		return ONX_OK;
	o->attr = onx_alloc(s->mem, 1, best->attr->size);
	return o->attr ? onx_defaults(best->attr, o->attr, s->mem, e)
		       : onx_nomem(e, (double)best->attr->size, "attributes");
}

void *onx_old_slot(struct onx_old *o, const char *name)
{
	const struct onx_table *t = later(o)->attr;
	const struct onx_field *f = onx_find(t, name);

	if (t->given)
		*(uint64_t *)((char *)o->attr + t->given) |= (uint64_t)1 << (f - t->field);
	return (char *)o->attr + f->off;
}

int onx_old_word(struct onx_old *o, struct onx_infer *s, const char *name, const char *text, struct onx_err *e)
{
	if (!text)
		return ONX_OK;
	return onx_set(later(o)->attr, onx_find(later(o)->attr, name), o->attr, text, s->mem, e);
}

void onx_old_ints(struct onx_old *o, const char *name, const struct onx_ints *v)
{
	if (v->n > 0)
		*(struct onx_ints *)onx_old_slot(o, name) = *v;
}

int onx_old_know(struct onx_old *o, struct onx_infer *s, const int64_t *v, size_t n, struct onx_err *e)
{
	struct onx_view *view = ONX_NEW(s->mem, struct onx_view);
	int64_t *numbers = ONX_NEWS(s->mem, int64_t, n + 1), *dim = ONX_NEW(s->mem, int64_t);

	if (!view || !numbers || !dim)
		return onx_nomem(e, 8.0 * (double)n, "an input of an old operator");
	for (size_t i = 0; i < n; i++)
		numbers[i] = v[i];
	*dim = (int64_t)n;
	*view = (struct onx_view){ .v = numbers, .n = n, .rank = 1, .dim = dim, .type = ONX_INT64, .width = 8 };
	o->known = view;
	o->in[1] = (struct onx_fact){ .type = ONX_INT64, .shape = { 1, { (int64_t)n } }, .value = view };
	o->now.n_in = 2;
	return ONX_OK;
}

int onx_old_settle(struct onx_old *o, struct onx_err *e)
{
	return later(o)->infer(&o->now, o->attr, e);
}

/* ---- calls ---- */

struct views { struct onx_view x[8], dx[8]; };

static struct onx_call onwards(const struct onx_call *c, struct views *v, bool back)
{
	const struct onx_old *o = c->geo;
	struct onx_call d = *c;

	for (int i = 0; i < c->n_x && i < 8; i++) {
		v->x[i] = c->x[i];
		v->dx[i] = back ? c->dx[i] : (struct onx_view){ .v = NULL };
	}
	if (o->aligned) {
		v->x[1].rank = v->dx[1].rank = o->in[1].shape.rank;
		v->x[1].dim = v->dx[1].dim = o->in[1].shape.dim;
	} else if (o->known) {
		v->x[1] = *o->known;
		v->dx[1] = (struct onx_view){ .v = NULL };
		d.n_x = 2;
	}
	d.x = v->x;
	d.dx = back ? v->dx : NULL;
	d.attr = o->attr;
	d.geo = o->now.geo;
	return d;
}

void onx_old_forward(const struct onx_call *c)
{
	struct views v;
	const struct onx_call d = onwards(c, &v, false);

	later(c->geo)->forward(&d);
}

void onx_old_backward(const struct onx_call *c)
{
	struct views v;
	const struct onx_call d = onwards(c, &v, true);

	later(c->geo)->backward(&d);
}

size_t onx_old_saved(const struct onx_infer *s, const void *attr)
{
	const struct onx_old *o = s->geo;

	(void)attr;
	return later(o)->saved ? later(o)->saved(&o->now, o->attr) : 0;
}

size_t onx_old_scratch(const struct onx_infer *s, const void *attr, int threads, bool back)
{
	const struct onx_old *o = s->geo;

	(void)attr;
	return later(o)->scratch ? later(o)->scratch(&o->now, o->attr, threads, back) : 0;
}
