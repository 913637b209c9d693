/* kernel/fuse.h -- an activation at the end of another step; its derivative needs y alone.
 * One struct for both precisions. */
#ifndef ONX_KERNEL_FUSE_H
#define ONX_KERNEL_FUSE_H

enum onx_fuse_kind { ONX_FUSE_NONE, ONX_FUSE_RELU, ONX_FUSE_TANH, ONX_FUSE_SIGMOID, ONX_FUSE_LEAKY,
		     ONX_FUSE_HARD_SIGMOID, ONX_FUSE_CLIP,
		     /* These have no derivative in y: forward only. */
		     ONX_FUSE_HARD_SWISH, ONX_FUSE_SILU, ONX_FUSE_GELU, ONX_FUSE_GELU_TANH };
/* LEAKY: slope a; CLIP: a to b; HARD_SIGMOID: a x + b. */
struct onx_fuse { enum onx_fuse_kind kind; double a, b; };

#endif
