/* op/op.h -- what an operator is: one row of a table.
 *
 * A family is a file (unary.c, conv.c, ...), an operator is a row in it, and everything the program
 * knows about the operator stands in that row: attributes, shape rule, arithmetic, gradient, what
 * the gradient reads.  op/families.inc lists the families.  Files of this folder are compiled
 * twice (kernel/real.h), so a row exists in float and in double.
 *
 * The life of a node: look up the row by (domain, type, opset) -> fill its attribute struct from
 * op->attr -> infer (all checks, all shapes; the last thing that can fail) -> the plan asks saved
 * and scratch sizes and picks an implementation -> forward and backward, as often as wanted.
 * forward and backward neither allocate, print, fail nor see the graph. */
#ifndef ONX_OP_H
#define ONX_OP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/field.h"
#include "base/pool.h"
#include "base/rng.h"
#include "tensor/tensor.h"

/* What asking for the gradient of an input means.  ONNX marks inputs Differentiable or not; we split
 * the second kind: ZERO is mathematics (Floor), NEVER is a question that makes no sense (indices). */
enum onx_grad { ONX_G_NEVER, ONX_G_ZERO, ONX_G_DIFF };

/* Tensors that backward reads; the plan frees all others early.  Shapes can always be read. */
#define ONX_KEEP_X(i) (1u << (i))               /* i < 15; bit 15: every input from the 15th on */
#define ONX_KEEP_Y(i) (1u << (16 + (i)))        /* i < 15 */

enum onx_op_flag {
	ONX_OP_VIEW   = 1,      /* y[0] is the bytes of x[0] under another shape: the plan may share them */
	ONX_OP_RANDOM = 2,      /* draws from call->rng: never folded, not cached in a frozen prefix      */
	ONX_OP_TRAIN  = 4,      /* behaves differently in training mode (infer->train, call->train)       */
	ONX_OP_LOSS   = 8,
	ONX_OP_NOFOLD = 16,     /* never evaluated while planning                                          */
	ONX_OP_WIDTHS = 32,     /* the kernels look at the width of each view: Cast from double to float   */
	ONX_OP_TAKES_DY = 128,  /* backward writes over dy[0]; see .pass                                     */
	ONX_OP_EACH   = 256,    /* element by element, inputs broadcast: any order of dimensions will do     */
	ONX_OP_AGAIN  = 512,    /* cheap to run again before backward, from its inputs and what it saved      */
	ONX_OP_RULE   = 1024,   /* infer gives the outputs themselves, from inputs that are known: sequences,
				   optionals.  There is no forward, and no plan runs the node          */
	ONX_OP_BODY   = 2048,   /* runs graphs of its own: graph/control.h                           */
	ONX_OP_APART  = 4096,   /* where dim 0 of all outputs goes with dim 0 of the inputs and no attribute `axis`
				   is 0, slices along it are computed each for itself (plan/parts.c)  */
	ONX_OP_STRAIGHT = 8192, /* backward is a straight-through estimate, not the derivative (rewrite/straight.h)  */
	ONX_OP_SPARES = 131072, /* what it saves is for backward alone: forward takes save == NULL                  */
	ONX_OP_OVER_DY = 16384, /* with TAKES_DY and no .pass: backward may find dx[0] where dy[0] is            */
	ONX_OP_SECOND = 32768,  /* its outputs are gradients; gradients of those are not computed            */
	ONX_OP_SEQUENCE = 65536, /* with RULE: inputs with a gradient may be tensors that are not known (onx_unknown in
				   tensor/seq.h); geo is left where the plan has to write it out        */
	ONX_OP_REPEATS = 524288, /* as AGAIN may be run again, from its inputs and what it saved, to give y[0] alone
				   (onx_call.again), but it is not cheap: its multiply-adds decide     */
	ONX_OP_SETS_DX0 = 262144, /* backward sets dx[0] and never adds: a later writer has a piece of its own       */
	ONX_OP_ANYTHING = 1048576, /* takes sequences, optionals and maps, too, as RULE; elsewhere they are a fault */
	ONX_OP_SETTING = 64     /* a constant of one number is a setting, not a weight: x / 1.414, x + 1e-5 */
};

/* A value as it is known while planning. */
struct onx_fact {
	enum onx_dtype type;            /* ONX_UNDEFINED: an optional input or output that is absent */
	struct onx_shape shape;
	const struct onx_view *value;   /* its numbers, if they are known before running, else NULL  */
};

/* What infer sees and fills.  Inputs are all settled; it must set type and shape of every output
 * that is not absent, and check everything that forward and backward rely on. */
struct onx_infer {
	int version;                    /* of the node's opset domain: Clip in a model of opset 11: 11 */
	int n_in, n_out;
	const struct onx_fact *in;
	struct onx_fact *out;           /* type preset to ONX_UNDEFINED where the node leaves it out   */
	bool *out_wanted;               /* does the node name this output?                             */
	bool train;                     /* the node runs in training mode                              */
	void *geo;                      /* infer may leave here, from mem, what the kernels need (nothing
					   of type real, no kernel: infer of the float row serves both):
					   resolved axes, pads, strides.  They get it as call->geo     */
	struct onx_arena *mem;          /* lives as long as the plan                                   */
};

struct onx_rng_key { uint64_t seed, step, node; };

struct onx_call {                       /* all that a kernel may see */
	const void *attr;               /* struct described by op->attr                              */
	const void *geo;                /* what infer left                                           */
	int n_x, n_y;
	const struct onx_view *x, *y;   /* absent: .v == NULL.  y is written by forward, read by backward */
	const struct onx_view *dy;      /* backward: dy[i].v == NULL: that output has no gradient (zero)  */
	const struct onx_view *dx;      /* backward: dx[i].v == NULL: nobody wants it, skip the work;
					   dx[i].add: add instead of setting (onx_put)                */
	const void *packed;             /* onx_impl.pack's work, done while planning; NULL: not done    */
	void *save, *scratch;           /* as many bytes as asked for, 64-byte aligned                */
	bool train;
	bool again;                     /* forward has run before on the same inputs and left `save`: y[0] is wanted
					   once more, nothing else may change                           */
	struct onx_rng_key rng;
	struct onx_pool *pool;          /* may be NULL                                               */
};

/* One way to compute an operator.  The lists of op->impl are in order of preference, the first that
 * fits wins; the row's own forward/backward are the reference, last and always there. */
struct onx_impl {
	const char *name;
	bool   rough;                   /* rounds more than the formula does; a plan with `precise` passes it over */
	bool   (*fits)(const struct onx_infer *s, const void *attr);
	size_t (*saved)(const struct onx_infer *s, const void *attr);
	size_t (*scratch)(const struct onx_infer *s, const void *attr, int threads, bool backward);
	void   (*forward)(const struct onx_call *c);
	void   (*backward)(const struct onx_call *c);   /* NULL: the row's (then .saved is NULL too) */
	/* What forward can make of input 1, and others from there on that it needs, once and for all where the
	 * numbers of input 1 never change: bytes, and the making (inputs that may change are absent).  forward
	 * finds it as c->packed; where that is NULL it makes it in scratch, which .scratch leaves room for.
	 * NULL: nothing. */
	size_t (*packed)(const struct onx_infer *s, const void *attr);
	void   (*pack)(const struct onx_call *c, void *to);
};

#define ONX_MANY 127                    /* max_in, max_out of variadic operators */

struct onx_op {
	const char *domain;             /* "" is ai.onnx; "onnx_adapt" is ours (losses), never in a file  */
	const char *type;
	int since;                      /* first version of the domain that this row is right for; it holds
					   until the next row of the same type                          */
	int8_t min_in, max_in, min_out, max_out;
	enum onx_grad grad[12];         /* by input; the last one given in n_grad repeats for variadic ones */
	int8_t n_grad;
	uint32_t keep;                  /* ONX_KEEP_*                                                */
	uint8_t alias;                  /* bit i: y[0] may be computed in place of x[i]              */
	uint32_t flags;                 /* enum onx_op_flag                                          */
	uint8_t pass;                   /* ONX_OP_TAKES_DY: dy[0] is then the gradient of this input, which may
					   have its memory (dx.v == dy.v); 0: of none                   */
	uint16_t weight;                /* bit i: a constant at input i is a weight (Conv W and B), not a setting */
	const char *const *lift;        /* attributes that are weights, up to a NULL: lists of numbers that are inputs
					   1, 2, ... in a graph (graph/lift.c); in a file input 0 is alone.
					   NULL: none                                                    */
	uint16_t stat;                  /* bit i: input i is a running statistic (BatchNormalization)   */
	const struct onx_table *attr;   /* NULL: the operator has no attributes                      */
	int    (*infer)(struct onx_infer *s, const void *attr, struct onx_err *e);
	size_t (*saved)(const struct onx_infer *s, const void *attr);           /* NULL: 0 bytes     */
	size_t (*scratch)(const struct onx_infer *s, const void *attr, int threads, bool backward);
	double (*macs)(const struct onx_infer *s, const void *attr);    /* multiply-adds; NULL: elements of y[0] */
	void   (*forward)(const struct onx_call *c);
	void   (*backward)(const struct onx_call *c);           /* NULL if no input is ONX_G_DIFF    */
	const struct onx_impl *impl;    /* ends with .name == NULL; NULL: only the reference         */
};

static inline bool onx_op_repeats(const struct onx_op *op)
{
	return op->flags & (ONX_OP_AGAIN | ONX_OP_REPEATS);
}

static inline enum onx_grad onx_op_grad(const struct onx_op *op, int i)
{
	return op->n_grad == 0 ? ONX_G_NEVER : op->grad[i < op->n_grad ? i : op->n_grad - 1];
}

/* op/table.c */
const struct onx_op *const *onx_op_families(bool wide, size_t *n);     /* each ends with .type == NULL */
/* The row for a node; the fault names what is missing and from which version on we have it. */
int onx_op_find(const char *domain, const char *type, int version, const struct onx_op **out,
		struct onx_err *e) ONX_MUST;
const struct onx_op *onx_op_wide(const struct onx_op *op);      /* the same row in double */
#define ONX_NEWEST_OPSET 28

#endif
