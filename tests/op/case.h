/* op/case.h -- one table of operator cases, read by tests/op/grad.c, value.c and cover.c.
 *
 * A case is one line in tests/op/cases/FAMILY.inc:
 *
 *     { .op = "LeakyRelu", .version = 6, .attr = "alpha=0.2", .in = "x:2x3x4", .kink = "0", .grad = "x" },
 *
 * .attr   "name=text" separated by blanks; each text goes through the operator's field table.  A tensor
 *         is written as an input: "value=t:int64:2={1,2}".
 * .in     tensors separated by blanks, each `name:[type:]dims[range][={values}]`, or `-` for an absent one.
 *         dims: 2x3x4, or `s` for a scalar.  type: float unless given (in the double run its storage is
 *         double, so it means "the precision of the run"); int64, bool, uint8, float16, ...
 *         range: `[lo,hi]`; `+` is [0.5,2]; none is [-2,2] for real, [0,3] for whole numbers;
 *         `^`: values that all differ by at least 4/n, for operators that compare elements (MaxPool).
 *         values: comma-separated; they are known while planning (like a constant of the model).
 *         Whole-number inputs without values are drawn and are not known.
 * .out    which outputs the node names: "1" for each that it does, "0" for an absent one; "1" if NULL.
 * .kink   comma-separated points of x that random real inputs keep away from (by 0.02).
 * .dy     bit i: output i has a gradient; 0: every real output does.
 * .grad   names of the inputs whose gradients are checked, separated by blanks.
 * .tol    of the gradient check, 1e-6 if 0; .ftol: float against double, 1e-5 if 0.  More needs a
 *         comment that says why.
 * .want   expected outputs, written like inputs ("y:2x2={1,2,3,4}"; without values only type and
 *         shape are compared; `-` skips one), from the formulas of the specification.
 * .fault  infer must fail, with this text in its message. */
#ifndef OP_CASE_H
#define OP_CASE_H
#include <stdbool.h>
#include "op/op.h"

struct op_case {
	const char *domain;             /* NULL: ai.onnx */
	const char *op;
	int version;
	const char *attr, *in, *out, *kink, *grad, *want, *fault;
	double tol, ftol;
	unsigned dy;
	bool train;
	size_t most;                    /* not 0: outputs of more elements are refused: ONX_NOMEM */
};
extern const struct op_case op_cases[];
extern const size_t op_n_cases;

enum { OP_PORTS = 16 };
struct op_guard { const unsigned char *at; struct op_guard *next; };

/* A case made ready to run: everything that a plan would have settled, in the run's own arena. */
struct op_run {
	struct onx_arena mem;
	const struct op_case *cs;
	const struct onx_op *op;
	bool wide;
	unsigned seed;
	void *attr;
	struct onx_infer s;
	struct onx_fact in[OP_PORTS], out[OP_PORTS];
	bool wanted[OP_PORTS];
	const char *name[OP_PORTS];             /* of the inputs */
	struct onx_view x[OP_PORTS], y[OP_PORTS], dy[OP_PORTS], dx[OP_PORTS];
	struct onx_view x_dead[OP_PORTS], y_dead[OP_PORTS];     /* what backward sees of what is not kept */
	void *save;
	struct op_guard *guard;
};

/* Draws the inputs, fills the attributes and infers.  Returns infer's code.  Release in any case. */
int op_run_open(struct op_run *r, const struct op_case *c, bool wide, unsigned seed, struct onx_err *e)
	ONX_MUST;
void op_run_release(struct op_run *r);
/* Runs an implementation (NULL: the reference) on fresh NaN-filled outputs, `save` and scratch.
 * x[0..] are borrowed from r.  Returns false if it wrote outside its buffers. */
bool op_run_forward(struct op_run *r, const struct onx_impl *impl, struct onx_pool *pool) ONX_MUST;
/* The same without memory for what is saved, for rows with ONX_OP_SPARES. */
bool op_run_spared(struct op_run *r, const struct onx_impl *impl, struct onx_pool *pool) ONX_MUST;
/* The same with y[0] in the memory of a copy of x[i]. */
bool op_run_in_place(struct op_run *r, int i, struct onx_pool *pool) ONX_MUST;
/* Backward after forward.  want: bit i = dx[i] is wanted; add: dx[i] as it stands is added to,
 * otherwise dx is filled with NaN first.  dy is drawn from the seed for the outputs in `from`. */
bool op_run_backward(struct op_run *r, const struct onx_impl *impl, struct onx_pool *pool, unsigned want,
		     bool add, unsigned from) ONX_MUST;
/* Bits of the real outputs that have a gradient / of the inputs named in .grad. */
unsigned op_run_sources(const struct op_run *r);
unsigned op_run_wanted(const struct op_run *r);
/* "Relu-14 [attributes] (inputs) train" into a buffer. */
const char *op_case_text(const struct op_case *c, char *buf, size_t n);
bool op_case_picked(const struct op_case *c, int argc, char **argv);    /* names as arguments: only those */

/* case_text.c */
struct op_tensor {
	char name[32];
	enum onx_dtype type;
	bool absent, distinct, range, given;
	struct onx_shape shape;
	double lo, hi;
	const double *v;                /* if given */
	const char *const *text;        /* the same as text (strings, int64) */
};
int op_tensors(const char *text, struct op_tensor *t, int max, struct onx_arena *a, struct onx_err *e) ONX_MUST;
int64_t op_whole(const char *text);     /* also uint64 above INT64_MAX, as its bits */
int op_attr(const struct op_case *c, const struct onx_op *op, struct onx_arena *a, void **out,
	    struct onx_err *e) ONX_MUST;

#endif
