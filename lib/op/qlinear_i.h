/* op/qlinear_i.h -- shared by qlinear.c and qconv.c: where the parts of a product of 8-bit numbers stand, zero
 * points, what becomes of a row of sums. */
#ifndef ONX_QLINEAR_I_H
#define ONX_QLINEAR_I_H
#include "kernel/bytes.h"
#include "op/infer.h"

/* Among the inputs; -1: the operator has none. */
struct onx_q_ports { int a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero, bias; };

static inline bool onx_q_signed(const struct onx_view *v) { return v->type == ONX_INT8; }
static inline int32_t onx_q_byte(const void *v, size_t i, bool sign)
{
	return sign ? ((const int8_t *)v)[i] : ((const uint8_t *)v)[i];
}

#define onx_q_check ONX_R(onx_q_check)
#define onx_q_zero ONX_R(onx_q_zero)
#define onx_q_less ONX_R(onx_q_less)
#define onx_q_store_row ONX_R(onx_q_store_row)

/* Types of all inputs; rows, columns: how many scales and zero points of A and B there may be; float8: the matrices
 * may be 8-bit floats. */
int onx_q_check(const struct onx_infer *s, const struct onx_q_ports *p, size_t rows, size_t columns, bool float8,
		struct onx_err *e);
/* The zero point number i, of one or many. */
int32_t onx_q_zero(const struct onx_call *c, int port, size_t i);
/* to[i] = element at + i * step of v, less its zero point */
void onx_q_less(const struct onx_view *v, size_t at, size_t step, size_t n, int32_t zero, int16_t *to);
/* n sums from element `at` of Y on: columns col, col + every, ... of Y, every = 0: all of one.  As they are, or times
 * the scales, rounded to even and moved by the zero point. */
void onx_q_store_row(const struct onx_call *c, const struct onx_q_ports *p, size_t at, const uint32_t *sum, size_t n,
		     size_t row, size_t col, size_t every);

#endif
