/* graph/consts.c -- constants in memory form. */
#include "graph/consts.h"
#include <string.h>

void onx_consts_init(struct onx_consts *c, const struct onx_graph *g)
{
	*c = (struct onx_consts){ .g = g };
}

static void forget(struct onx_consts *c, uint32_t v)
{
	for (int w = 0; w < 2; w++)
		if (c->view[w] && v < c->n) {
			onx_heap_free(c->view[w][v]);
			c->view[w][v] = NULL;
		}
}

void onx_consts_drop(struct onx_consts *c, uint32_t v)
{
	forget(c, v);
}

void onx_consts_release(struct onx_consts *c)
{
	for (uint32_t v = 0; v < c->n; v++)
		forget(c, v);
	onx_heap_free(c->view[0]);
	onx_heap_free(c->view[1]);
	*c = (struct onx_consts){ 0 };
}

static int grow(struct onx_consts *c, struct onx_err *e)
{
	const uint32_t n = c->g->n_value;
	if (n <= c->n && c->view[0])
		return ONX_OK;
	for (int w = 0; w < 2; w++) {
		void *p = onx_heap_grow(c->view[w], c->n * sizeof *c->view[w], n * sizeof *c->view[w]);
		if (!p)
			return onx_nomem(e, n * sizeof *c->view[w], "the table of constants");
		c->view[w] = p;
	}
	c->n = n;
	return ONX_OK;
}

/* Can the bytes of the file serve as they are?  Little-endian hosts only; others always convert. */
static bool usable(const struct onx_weight *w, size_t width)
{
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
	return false;
#endif
	if (!w->raw || (uintptr_t)w->raw % width != 0)
		return false;
	return onx_dtype_bits(w->type) == (int)width * 8 && w->type != ONX_STRING;
}

int onx_consts_get(struct onx_consts *c, uint32_t value, bool wide, const struct onx_view **out,
		   struct onx_err *e)
{
	int rc = grow(c, e);
	if (rc < 0)
		return rc;
	struct onx_view **slot = &c->view[wide][value];
	if (!*slot) {
		const struct onx_weight *w = c->g->value[value].init;
		if (w->type == ONX_UNDEFINED)
			return onx_fail(e, ONX_UNSUP, "'%s' has elements of a type that is not known", w->name);
		const size_t width = onx_dtype_store(w->type, wide);
		const bool direct = usable(w, width);
		/* One heap block holds the view and, unless the file's bytes serve, the numbers. */
		char *mem = direct || w->n <= (SIZE_MAX - 64) / width
			    ? onx_heap_bare(64 + (direct ? 0 : w->n * width)) : NULL;
		_Static_assert(sizeof(struct onx_view) <= 64, "numbers start 64 bytes behind the view");
		if (!mem)
			return onx_nomem(e, (double)w->n * (double)width, w->name);
		struct onx_view *v = (struct onx_view *)(void *)mem;
		*v = (struct onx_view){ .v = mem + 64, .n = w->n, .rank = w->rank, .dim = w->dim,
					.type = w->type, .width = (uint8_t)width };
		if (direct) {
			/* kernels only read constants */
			memcpy(&v->v, &w->raw, sizeof v->v);
		} else if ((rc = onx_weight_load(w, v, e)) < 0) {
			onx_heap_free(mem);
			return onx_while(e, rc, "loading '%s'", w->name);
		}
		*slot = v;
	}
	*out = *slot;
	return ONX_OK;
}
