/* kernel/cell.h -- recurrent layers in one direction: RNN, GRU, LSTM (ONNX operators of these names).
 *
 *     a_t = x_t W' + h_{t-1} R' + Wb + Rb                 for each gate (GRU and LSTM have several)
 *     RNN   h_t = f(a)
 *     GRU   z = f(a_z), r = f(a_r),  n = g(x W' + (r . h_{t-1}) R' + Wb + Rb)
 *           with linear_before_reset n = g(x W' + Wb + r . (h_{t-1} R' + Rb))
 *           h_t = (1 - z) . n + z . h_{t-1}
 *     LSTM  i = f(a_i + p_i . c_{t-1}), f = f(a_f + p_f . c_{t-1}) (or 1 - i), c~ = g(a_c)
 *           c_t = f . c_{t-1} + i . c~,  o = f(a_o + p_o . c_t),  h_t = o . h(c_t)
 *
 * Gates stand in the order of the standard: GRU z r h, LSTM i o f c; peepholes i o f.  A clip bounds
 * the sums that f and g see.  Sample b takes part in its first len[b] steps; behind them its state stays
 * and y is 0; a reversed direction starts at its last step.
 *
 * Steps are products over the whole batch (kernel/gemm.h); x W' is one product over all steps. */
#ifndef ONX_CELL_H
#define ONX_CELL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/pool.h"
#include "kernel/real.h"

enum onx_cell_kind { ONX_RNN, ONX_GRU, ONX_LSTM };
enum onx_squash_kind { ONX_SQ_RELU, ONX_SQ_TANH, ONX_SQ_SIGMOID, ONX_SQ_AFFINE, ONX_SQ_LEAKY,
		       ONX_SQ_THRESHOLD, ONX_SQ_SCALED_TANH, ONX_SQ_HARD_SIGMOID, ONX_SQ_ELU,
		       ONX_SQ_SOFTSIGN, ONX_SQ_SOFTPLUS };
struct onx_squash { enum onx_squash_kind kind; double a, b; };  /* alpha, beta of the standard */

struct onx_cell {
	enum onx_cell_kind kind;
	size_t t, b, i, h, gates;       /* steps, samples, inputs, hidden size, gates of the kind */
	size_t dirs, dir;               /* this direction of how many                             */
	bool reverse, batch_first;      /* batch_first: layout 1                                  */
	bool late_reset, coupled;       /* linear_before_reset; input_forget                      */
	double clip;                    /* INFINITY: none                                         */
	struct onx_squash f[3];         /* f, g, h                                                */
};

/* Tensors as the operator has them, w, r, bias and p moved to this direction; absent ones are NULL.
 * bias: [2][gates * h]; p: [3][h].  y, h0, ... are the whole tensors of all directions. */
struct onx_cell_data {
	const real *x, *w, *r, *bias, *h0, *c0, *p;
	const int32_t *len;
	real *y, *yh, *yc;
	void *save, *scratch;
};
/* Gradients; any of the outputs may be NULL, dx is added to if add_x, ... */
struct onx_cell_grad {
	const real *dy, *dyh, *dyc;
	real *dx, *dw, *dr, *dbias, *dh0, *dc0, *dp;
	bool add_x, add_w, add_r, add_bias, add_h0, add_c0, add_p;
};

#define onx_cell_saved ONX_R(onx_cell_saved)
#define onx_cell_scratch ONX_R(onx_cell_scratch)
#define onx_cell_forward ONX_R(onx_cell_forward)
#define onx_cell_backward ONX_R(onx_cell_backward)

/* Bytes, enough for either precision; backward reads what forward left in save. */
size_t onx_cell_saved(const struct onx_cell *g);
size_t onx_cell_scratch(const struct onx_cell *g, bool backward);
void onx_cell_forward(struct onx_pool *pool, const struct onx_cell *g, const struct onx_cell_data *d);
void onx_cell_backward(struct onx_pool *pool, const struct onx_cell *g, const struct onx_cell_data *d,
		       const struct onx_cell_grad *t);

#endif
