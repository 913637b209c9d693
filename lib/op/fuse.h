/* op/fuse.h -- an activation at the end of another operator: ONNX Runtime's FusedConv and FusedGemm.
 * Applied in place; the derivative needs y only.  At kinks as op/unary.c. */
#ifndef ONX_FUSE_H
#define ONX_FUSE_H
#include "kernel/real.h"
#include "op/op.h"

enum onx_fuse_kind { ONX_FUSE_NONE, ONX_FUSE_RELU, ONX_FUSE_TANH, ONX_FUSE_SIGMOID, ONX_FUSE_LEAKY,
		     ONX_FUSE_HARD_SIGMOID, ONX_FUSE_CLIP };
struct onx_fuse { enum onx_fuse_kind kind; double a, b; };       /* one for both precisions */

#define onx_fuse_read ONX_R(onx_fuse_read)
#define onx_fuse_forward ONX_R(onx_fuse_forward)
#define onx_fuse_backward ONX_R(onx_fuse_backward)

/* The activation by name (NULL: none); v: its numbers as far as given, in the order of the standard. */
int onx_fuse_read(const char *name, const double *v, size_t n, struct onx_fuse *f, struct onx_err *e) ONX_MUST;
/* y = f(y) */
void onx_fuse_forward(const struct onx_fuse *f, const struct onx_view *y, struct onx_pool *pool);
/* d [y->n] = dy f'(y) */
void onx_fuse_backward(const struct onx_fuse *f, const struct onx_view *y, const real *dy, real *d,
		       struct onx_pool *pool);

#endif
