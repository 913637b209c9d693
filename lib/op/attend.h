/* op/attend.h -- what both passes of Attention (attend.c, attend_back.c) share. */
#ifndef ONX_ATTEND_H
#define ONX_ATTEND_H
#include <string.h>
#include "kernel/real.h"
#include "op/op.h"

struct onx_attend { int64_t causal, hk, hq, mode, precision; double scale, cap; uint64_t given; };
enum { ONX_AT_Q, ONX_AT_K, ONX_AT_V, ONX_AT_MASK, ONX_AT_PAST_K, ONX_AT_PAST_V, ONX_AT_LENGTHS };
struct onx_attend_geo {
	size_t b, hq, hk, q, kv, past, t, d, dv;        /* t = past + kv keys         */
	bool packed;                                    /* rank 3: heads side by side */
	double scale;
	size_t mask_b, mask_h, mask_q, mask_k, mask_n;  /* steps, 0 where the mask is broadcast; its keys */
};
/* Query head h of sample b: elements between rows of Q and Y, and where their first ones are. */
struct onx_head { size_t b, h, ldq, ldv, q, y; };

#define onx_head_of ONX_R(onx_head_of)
#define onx_head_row ONX_R(onx_head_row)
#define onx_head_gather ONX_R(onx_head_gather)
#define onx_head_bias ONX_R(onx_head_bias)
#define onx_head_scores ONX_R(onx_head_scores)
#define onx_attend_piece ONX_R(onx_attend_piece)
#define onx_attend_backward ONX_R(onx_attend_backward)

struct onx_head onx_head_of(const struct onx_attend_geo *g, size_t b, size_t h);
/* Row r < t of head h of K or V, w wide, in the past or, from r = past on, in the input. */
size_t onx_head_row(const struct onx_attend_geo *g, size_t b, size_t h, size_t r, size_t w);
/* The rows of input i (K or V) and of its past, one behind the other. */
void onx_head_gather(const struct onx_call *c, int i, size_t b, size_t h, size_t w, real *to);
/* The bias of a score; -inf: the query may not see the key. */
double onx_head_bias(const struct onx_call *c, const struct onx_head *at, size_t q, size_t k);
/* The place of a score in the mask; k < mask_n. */
static inline size_t onx_head_mask(const struct onx_attend_geo *g, const struct onx_head *at, size_t q, size_t k)
{
	return at->b * g->mask_b + at->h * g->mask_h + q * g->mask_q + k * g->mask_k;
}
/* s [q][t] = scale Q K', capped. */
void onx_head_scores(const struct onx_call *c, const struct onx_head *at, const real *keys, real *s);
/* Numbers (of double) that a piece needs. */
size_t onx_attend_piece(const struct onx_attend_geo *g, bool back);
void onx_attend_backward(const struct onx_call *c);

/* The gradient of a piece's keys or values, n numbers, begins with that of the present, which may be NULL. */
static inline void onx_head_start(real *d, const real *present, size_t piece, size_t n)
{
	if (present)
		memcpy(d, present + piece * n, n * sizeof *d);
	else
		memset(d, 0, n * sizeof *d);
}

#endif
