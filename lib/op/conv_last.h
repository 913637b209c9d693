/* op/conv_last.h -- the shapes of a convolution with channels last, for the steps that hold one (conv_last.c,
 * conv_norm.c). */
#ifndef ONX_CONV_LAST_H
#define ONX_CONV_LAST_H
#include "kernel/conv.h"
#include "op/infer.h"
#include "op/window.h"

#define onx_conv_last_read ONX_R(onx_conv_last_read)
/* X at input 0, W at input w, the bias, if any, behind it: their shapes and types, the geometry, the shape of Y. */
int onx_conv_last_read(const struct onx_infer *s, int w, const struct onx_win_attr *win, int64_t group,
		       struct onx_conv_geo *to, struct onx_shape *y, struct onx_err *e) ONX_MUST;
/* Multiply-adds. */
static inline double onx_conv_last_macs(const struct onx_conv_geo *g)
{
	return (double)g->n * (double)g->w.out_n * (double)g->groups * (double)g->m * (double)g->c *
	       (double)g->w.kern_n;
}

#endif
