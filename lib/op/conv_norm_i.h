/* op/conv_norm_i.h -- what the two ways of NormConvLast and ConvMomentsLast share (conv_norm.c, conv_norm_ref.c): the
 * node as it was read, and what is the same in both (conv_norm_parts.c). */
#ifndef ONX_CONV_NORM_I_H
#define ONX_CONV_NORM_I_H
#include "op/batchnorm_last.h"
#include "op/conv_last.h"

struct onx_cn_attr {
	struct onx_bn_attr bn;
	struct onx_win_attr win;
	int64_t group;
};

enum { X, SCALE, B, MEAN, VAR, NORMED };        /* inputs of a normalization; how many */
enum { BATCH_MEAN = 7, BATCH_VAR, W_BARE = 1 };

struct onx_cn_geo {
	struct onx_bn_geo norm;         /* c == 0: none in front */
	struct onx_conv_geo conv;
	size_t rows, ch;                /* pixels and channels of Y */
	int w, moments;                 /* input W, the bias behind it; output with the mean, the variance behind it */
	bool given;                     /* the statistics of the batch */
};

static inline size_t onx_cn_rounded(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

static inline bool onx_cn_normed(const struct onx_cn_geo *g)
{
	return g->norm.bn.c > 0;
}

static inline real *onx_cn_at(const struct onx_call *c, size_t offset)
{
	return (real *)(void *)((char *)c->scratch + offset);
}

#define onx_cn_forward_stats ONX_R(onx_cn_forward_stats)
#define onx_cn_bias ONX_R(onx_cn_bias)
#define onx_cn_wants_moments ONX_R(onx_cn_wants_moments)
#define onx_cn_wants_parameters ONX_R(onx_cn_wants_parameters)
#define onx_cn_parameters_back ONX_R(onx_cn_parameters_back)
#define onx_cn_shift ONX_R(onx_cn_shift)
#define onx_cn_bias_back ONX_R(onx_cn_bias_back)
#define onx_cn_scratch_ref ONX_R(onx_cn_scratch_ref)
#define onx_cn_forward_ref ONX_R(onx_cn_forward_ref)
#define onx_cn_backward_ref ONX_R(onx_cn_backward_ref)

/* Fills save (mean and inv of X) and the running statistics, where there is a normalization. */
void onx_cn_forward_stats(const struct onx_call *c, const struct onx_cn_geo *g);
const real *onx_cn_bias(const struct onx_call *c, const struct onx_cn_geo *g);          /* NULL: none */
bool onx_cn_wants_moments(const struct onx_call *c, const struct onx_cn_geo *g);
/* Is a gradient of scale, B or statistics wanted? */
bool onx_cn_wants_parameters(const struct onx_call *c, const struct onx_cn_geo *g);
/* Those gradients, from sum [2][c] as onx_bn_last_backward has it. */
void onx_cn_parameters_back(const struct onx_call *c, const struct onx_cn_geo *g, const double *sum);
/* What mean and variance of Y send back, in e and d [ch] (kernel/last_norm.h); false: nothing. */
bool onx_cn_shift(const struct onx_call *c, const struct onx_cn_geo *g, real *e, real *d,
		  struct ONX_R(onx_last_shift) *to);
void onx_cn_bias_back(const struct onx_call *c, const struct onx_cn_geo *g);

/* conv_norm_ref.c: one after the other, with tensors between them. */
size_t onx_cn_scratch_ref(const struct onx_infer *s, const void *attr, int threads, bool backward);
void onx_cn_forward_ref(const struct onx_call *c);
void onx_cn_backward_ref(const struct onx_call *c);

#endif
