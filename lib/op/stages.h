/* op/stages.h -- a convolution with channels last that is one of several in a step (strips.c, branches.c). */
#ifndef ONX_OP_STAGES_H
#define ONX_OP_STAGES_H
#include "kernel/conv.h"
#include "op/fuse.h"
#include "op/infer.h"

/* Numbers of a stage in `windows`: auto_pad (enum onx_auto_pad), strides 2, dilations 2, pads 4, group. */
enum { ONX_STAGE_INTS = 10 };

struct onx_stages_attr { struct onx_ints windows; struct onx_strs activations; struct onx_reals params; };
#define ONX_STAGES_FIELDS                                                                                 \
	{ "windows", F_INTS, offsetof(struct onx_stages_attr, windows), .def = "",                        \
	  .help = "of each stage: auto_pad, strides, dilations, pads, group" },                           \
	{ "activations", F_STRS, offsetof(struct onx_stages_attr, activations), .def = "",                \
	  .help = "of each stage: what acts on the sum; Identity: nothing" },                             \
	{ "activation_params", F_REALS, offsetof(struct onx_stages_attr, params), .def = "",              \
	  .help = "two numbers a stage" }

#define onx_stage_read ONX_R(onx_stage_read)
/* Stage i over x [n][y][x][channels]: weights at input w, as Conv has them, a bias or nothing behind them.  Fills
 * geometry and end; *y: the shape of what it makes. */
int onx_stage_read(const struct onx_infer *s, const struct onx_stages_attr *a, size_t i, const struct onx_shape *x,
		   int w, struct onx_conv_geo *g, struct onx_fuse *f, struct onx_shape *y, struct onx_err *e) ONX_MUST;

#endif
