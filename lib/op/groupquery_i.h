/* op/groupquery_i.h -- what the two files of GroupQueryAttention share. */
#ifndef ONX_GROUPQUERY_I_H
#define ONX_GROUPQUERY_I_H
#include "kernel/real.h"
#include "op/op.h"

enum { ONX_GQ_PAST_K = 3, ONX_GQ_PAST_V, ONX_GQ_LENGTHS, ONX_GQ_TOTAL, ONX_GQ_COS, ONX_GQ_SIN, ONX_GQ_IDS,
       ONX_GQ_BIAS, ONX_GQ_SINK };
struct onx_gq {
	int64_t hq, hk, window, show, cache, width;
	double scale, cap, epsilon;
	bool causal, rotary, interleaved, smooth;
	const char *k_type, *v_type;
};
struct onx_gq_geo {
	size_t b, s, hq, hk, d, past, t;        /* past: rows of the cache as it comes; t: as it goes */
	size_t half;                            /* pairs of a head that turn                     */
	bool packed, first;                     /* first: no sample has a past                   */
	double scale;
	size_t wide, bias_b, bias_h, n_bias;    /* attention_bias: keys, steps (0: broadcast), elements */
};

#define onx_gq_piece ONX_R(onx_gq_piece)
#define onx_gq_forward ONX_R(onx_gq_forward)
#define onx_gq_backward ONX_R(onx_gq_backward)

/* Numbers that a piece needs. */
static inline size_t onx_gq_piece(const struct onx_gq_geo *g, bool back)
{
	return back ? 4 * g->t * g->d + 2 * g->s * g->d + 2 * g->s * g->t : 2 * g->t * g->d + g->s * g->d;
}
void onx_gq_forward(const struct onx_call *c);
void onx_gq_backward(const struct onx_call *c);

#endif
