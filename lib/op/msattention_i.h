/* op/msattention_i.h -- what the files of ONNX Runtime's attention share. */
#ifndef ONX_MSATTENTION_I_H
#define ONX_MSATTENTION_I_H
#include <string.h>
#include "kernel/real.h"
#include "op/infer.h"

struct onx_ms_attention {
	int64_t heads, causal, rotary, rotary_dim, share;
	double scale, filter;
	struct onx_ints sizes;
};
enum onx_ms_mask { ONX_MS_NO_MASK, ONX_MS_LENGTHS, ONX_MS_ENDS, ONX_MS_BY_KEY, ONX_MS_BY_PAIR, ONX_MS_SQUARE };
struct onx_ms_geo {
	size_t b, h, s, l, past, t, dk, dv;     /* t = past + l keys */
	bool projects;                          /* Attention: Q, K and V come from one input */
	size_t in, hq, hk, hv;                  /* width of that input, of Q, K, V */
	double scale;
	enum onx_ms_mask mask; int mask_in; size_t square;
	int bias_in; size_t bias_b, bias_h;     /* attention_bias: steps along B and H, 0 broadcast */
	bool split_kv;                          /* MultiHeadAttention: key and value are [B,H,L,d] already */
	size_t pack;                            /* 3: query is [B,S,H,3,d] of Q, K, V; 2: key is [B,L,H,2,d] of K, V */
};

/* msattention_shape.c */
#define onx_ms_attention_table ONX_R(onx_ms_attention_table)
#define onx_ms_multi_table ONX_R(onx_ms_multi_table)
#define onx_ms_attention_infer ONX_R(onx_ms_attention_infer)
#define onx_ms_multi_infer ONX_R(onx_ms_multi_infer)
extern const struct onx_table onx_ms_attention_table;
extern const struct onx_table onx_ms_multi_table;
int onx_ms_attention_infer(struct onx_infer *s, const void *attr, struct onx_err *e);
int onx_ms_multi_infer(struct onx_infer *s, const void *attr, struct onx_err *e);

/* Memory: Q, K, V, P saved; dQ, dK, dV, dP while going back; the projection and its gradient. */
static inline size_t onx_ms_n_q(const struct onx_ms_geo *g) { return g->b * g->h * g->s * g->dk; }
static inline size_t onx_ms_n_k(const struct onx_ms_geo *g) { return g->b * g->h * g->t * g->dk; }
static inline size_t onx_ms_n_v(const struct onx_ms_geo *g) { return g->b * g->h * g->t * g->dv; }
static inline size_t onx_ms_n_p(const struct onx_ms_geo *g) { return g->b * g->h * g->s * g->t; }
static inline size_t onx_ms_n_all(const struct onx_ms_geo *g)
{
	return g->projects ? g->b * g->s * (g->hq + g->hk + g->hv) : 0;
}

struct onx_ms_parts { real *q, *k, *v, *p, *all; };

static inline struct onx_ms_parts onx_ms_parts_of(const struct onx_ms_geo *g, void *mem)
{
	real *q = mem, *k = q + onx_ms_n_q(g), *v = k + onx_ms_n_k(g), *p = v + onx_ms_n_v(g);

	return (struct onx_ms_parts){ q, k, v, p, p + onx_ms_n_p(g) };
}

static inline const real *onx_ms_input(const struct onx_call *c, int i)
{
	return i < c->n_x ? c->x[i].v : NULL;
}

/* Of a batch of nothing there is no memory. */
static inline void onx_ms_copy(real *to, const real *from, size_t n)
{
	if (n)
		memcpy(to, from, n * sizeof *to);
}

/* msattention_core.c: y [B,S,H*dv] = softmax(scale Q K' + masks) V; qk: its argument, or NULL.  Back: d gets the
 * gradients of m; dk, dv, dqk: what comes back to the keys, values and scores where they are outputs, or NULL. */
#define onx_ms_core ONX_R(onx_ms_core)
#define onx_ms_core_back ONX_R(onx_ms_core_back)
#define onx_ms_bias_back ONX_R(onx_ms_bias_back)
void onx_ms_core(const struct onx_call *c, const struct onx_ms_parts *m, real *qk);
void onx_ms_core_back(const struct onx_call *c, const struct onx_ms_parts *m, const struct onx_ms_parts *d,
		      const real *dk, const real *dv, const real *dqk);
/* The gradient of attention_bias, from that of the scores. */
void onx_ms_bias_back(const struct onx_call *c, const real *dp);

#endif
