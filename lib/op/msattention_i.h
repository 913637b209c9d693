/* op/msattention_i.h -- what the two files of ONNX Runtime's attention share. */
#ifndef ONX_MSATTENTION_I_H
#define ONX_MSATTENTION_I_H
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

#endif
