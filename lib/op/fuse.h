/* op/fuse.h -- an activation at the end of another operator: ONNX Runtime's FusedConv and FusedGemm.
 * Applied in place; the derivative needs y only.  At kinks as op/unary.c. */
#ifndef ONX_FUSE_H
#define ONX_FUSE_H
#include "kernel/fuse.h"
#include "kernel/real.h"
#include "op/op.h"

#define onx_fuse_read ONX_R(onx_fuse_read)
#define onx_fuse_forward ONX_R(onx_fuse_forward)
#define onx_fuse_backward ONX_R(onx_fuse_backward)

/* The activation by name (NULL: none); v: its numbers as far as given, in the order of the standard. */
int onx_fuse_read(const char *name, const double *v, size_t n, struct onx_fuse *f, struct onx_err *e) ONX_MUST;
/* Has it a derivative in terms of y? */
static inline bool onx_fuse_in_y(const struct onx_fuse *f)
{
	return f->kind < ONX_FUSE_HARD_SWISH;
}
/* y = f(y) */
void onx_fuse_forward(const struct onx_fuse *f, const struct onx_view *y, struct onx_pool *pool);
/* d [y->n] = dy f'(y) */
void onx_fuse_backward(const struct onx_fuse *f, const struct onx_view *y, const real *dy, real *d,
		       struct onx_pool *pool);

#define onx_fuse_pass ONX_R(onx_fuse_pass)
/* to [n] = d, or += d with `add` */
void onx_fuse_pass(struct onx_pool *pool, size_t n, const real *d, real *to, bool add);

#endif
