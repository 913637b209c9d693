/* op/batchnorm_last.h -- batch normalization with channels last as part of a step: what BatchNormLast
 * (batchnorm_last.c) and NormConvLast (conv_norm.c) have in common.  Inputs 0 to 4 are X [..][c], scale, B, mean, var;
 * outputs 1 and 2 the running statistics. */
#ifndef ONX_BATCHNORM_LAST_H
#define ONX_BATCHNORM_LAST_H
#include "kernel/norm_last.h"
#include "op/fuse.h"
#include "op/infer.h"

struct onx_bn_attr {
	double epsilon, momentum;
	bool training;
	const char *activation;
	struct onx_reals params;
};

/* Rows of an attribute table for a struct whose first member is a struct onx_bn_attr. */
#define ONX_BN_FIELDS                                                                                         \
	{ "epsilon", F_REAL, offsetof(struct onx_bn_attr, epsilon), .def = "1e-5", .min = 0, .max = 1e6,      \
	  .help = "added to the variance" },                                                                  \
	{ "momentum", F_REAL, offsetof(struct onx_bn_attr, momentum), .def = "0.9", .min = 0, .max = 1,       \
	  .help = "weight of the old running statistics" },                                                   \
	{ "training_mode", F_BOOL, offsetof(struct onx_bn_attr, training), .def = "0",                        \
	  .help = "use the statistics of the batch" },                                                        \
	{ "activation", F_STR, offsetof(struct onx_bn_attr, activation), .def = "",                           \
	  .help = "what acts on the sum" },                                                                   \
	{ "activation_params", F_REALS, offsetof(struct onx_bn_attr, params), .def = "", .help = "its numbers" }

struct onx_bn_geo {
	struct onx_bn_last bn;
	bool batch;             /* statistics of the batch            */
	double unbias;          /* factor of the variance in y[2]     */
};

#define onx_bn_read ONX_R(onx_bn_read)
#define onx_bn_saved ONX_R(onx_bn_saved)
#define onx_bn_scratch ONX_R(onx_bn_scratch)
#define onx_bn_forward_stats ONX_R(onx_bn_forward_stats)
#define onx_bn_parameters ONX_R(onx_bn_parameters)
#define onx_bn_zero ONX_R(onx_bn_zero)

/* Checks inputs 0 to 4, fills g, sets the outputs from the second on. */
int onx_bn_read(struct onx_infer *s, const struct onx_bn_attr *a, struct onx_bn_geo *g, struct onx_err *e) ONX_MUST;
/* Bytes of save: mean [c], then inv [c]; of scratch for the kernels, a multiple of 64. */
size_t onx_bn_saved(const struct onx_bn_geo *g);
size_t onx_bn_scratch(const struct onx_bn_geo *g);
/* Fills save, writes the running statistics; c->again: they are there.  batch: mean and population variance of the
 * batch, each NULL where they are to be taken of input 0. */
void onx_bn_forward_stats(const struct onx_call *c, const struct onx_bn_attr *a, const struct onx_bn_geo *g,
			  const real *const *batch);
/* Gradients of inputs 1 to 4 from sum [2][c] of g = dy f', and of g xhat.  batch: where those of the batch's mean and
 * variance go, which were given; NULL: they were not. */
void onx_bn_parameters(const struct onx_call *c, const struct onx_bn_geo *g, const double *sum,
		       const struct onx_view *batch);
/* Nothing came from above: all gradients that are to be set are zero. */
void onx_bn_zero(const struct onx_call *c);

#endif
