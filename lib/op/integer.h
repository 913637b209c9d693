/* op/integer.h -- arithmetic, comparisons and bits on whole numbers of every width by one loop.
 * Elements are read as 64 bits, computed on (wrapping, signed or unsigned as the type says) and stored
 * in their own width, which wraps as two's complement does.  Division by 0 gives 0: kernels cannot
 * fail, and the standard leaves it undefined. */
#ifndef ONX_INTEGER_H
#define ONX_INTEGER_H
#include "kernel/real.h"
#include "op/op.h"

enum onx_int_op { ONX_I_ADD, ONX_I_SUB, ONX_I_MUL, ONX_I_DIV, ONX_I_MOD, ONX_I_FMOD, ONX_I_POW,
		  ONX_I_PRELU, ONX_I_MAX, ONX_I_MIN, ONX_I_AND, ONX_I_OR, ONX_I_XOR, ONX_I_LEFT,
		  ONX_I_RIGHT, ONX_I_EQ, ONX_I_LT, ONX_I_GT, ONX_I_LE, ONX_I_GE };

#define onx_int_pairs ONX_R(onx_int_pairs)
#define onx_int_fold ONX_R(onx_int_fold)
/* y = x0 (op) x1, broadcast.  y may be of another type (bool for comparisons). */
void onx_int_pairs(const struct onx_call *c, enum onx_int_op op);
/* y = (x0 op x1) op x2 ..., broadcast. */
void onx_int_fold(const struct onx_call *c, enum onx_int_op op);

#endif
