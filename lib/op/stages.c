/* op/stage.c -- see the header. */
#include "op/stages.h"
#include <string.h>
#include "op/window.h"

int onx_stage_read(const struct onx_infer *s, const struct onx_stages_attr *a, size_t i, const struct onx_shape *x,
		   int w, struct onx_conv_geo *g, struct onx_fuse *f, struct onx_shape *y, struct onx_err *e)
{
	const int64_t *const v = a->windows.v + i * ONX_STAGE_INTS;
	const struct onx_win_attr win = { .auto_pad = (int)v[0], .strides = { v + 1, 2 }, .dilations = { v + 3, 2 },
					  .pads = { v + 5, 4 } };
	const struct onx_fact *b = &s->in[w + 1];
	const char *act = a->activations.v[i];
	size_t count;
	int rc = onx_want_rank(s, w, 4, 4, e);

	if (rc < 0)
		return rc;
	const int64_t group = v[9], ch = x->dim[3], *d = s->in[w].shape.dim;

	if (group < 1 || ch % group != 0 || d[1] != ch / group || d[0] % group != 0)
		return onx_fail(e, ONX_SHAPE, "stage %zu has %lld channels in %lld groups, weights %lld by %lld", i,
				(long long)ch, (long long)group, (long long)d[0], (long long)d[1]);
	if (b->type != ONX_UNDEFINED && (b->shape.rank != 1 || b->shape.dim[0] != d[0]))
		return onx_fail(e, ONX_SHAPE, "the bias of stage %zu has not %lld elements", i, (long long)d[0]);
	*g = (struct onx_conv_geo){ .n = (size_t)x->dim[0], .groups = (size_t)group, .c = (size_t)d[1],
				    .m = (size_t)(d[0] / group) };
	if ((rc = onx_win_read(&win, 2, x->dim + 1, d + 2, &g->w, e)) < 0 ||
	    (rc = onx_win_slide(&win, 2, false, &g->w, e)) < 0)
		return rc;
	*y = (struct onx_shape){ 4, { x->dim[0], (int64_t)g->w.out[1], (int64_t)g->w.out[2], d[0] } };
	if ((rc = onx_count(y->rank, y->dim, &count, e)) < 0)
		return rc;
	return onx_fuse_read(strcmp(act, "Identity") ? act : NULL, a->params.v + 2 * i, 2, f, e);
}
