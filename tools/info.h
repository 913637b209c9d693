/* tools/info.h -- what onnx-info knows about a model, gathered once, printed in several forms.
 * Everything lives in the work's arena, the graph and the plan until onx_info_release(). */
#ifndef ONX_INFO_H
#define ONX_INFO_H
#include "base/json.h"
#include "graph/probe.h"
#include "op/op.h"
#include "plan/plan.h"
#include "tool.h"

struct onx_info_opts {
	bool check, plan, dot, ops, page, weights;
	int64_t batch, size;
};

struct onx_op_count { const char *domain, *type; int version; uint32_t n; bool known; };

struct onx_info {
	struct onx_work *w;
	const struct onx_info_opts *o;
	struct onx_graph *g;
	struct onx_consts consts;
	struct onx_plan *plan;          /* forward, one batch; NULL: there is none, why.text says why  */
	struct onx_err why;
	struct onx_probe *probe;        /* by value; NULL: shapes do not allow another batch           */
	struct onx_op_count *op; uint32_t n_op;         /* most frequent first                         */
	bool *weight, *stat, *train;    /* by value                                                    */
	uint32_t *quant, n_quant;       /* nodes: quantised weights, which do not train                */
	bool marked;                    /* somebody said what trains                                   */
	uint32_t n_weight, n_train;     /* tensors                                                     */
	uint64_t weights, trains, stats;/* elements                                                    */
	uint64_t bytes;                 /* of the weights, as stored                                   */
};

int onx_info_gather(struct onx_work *w, const struct onx_info_opts *o, struct onx_info *out,
		    struct onx_err *e) ONX_MUST;
void onx_info_release(struct onx_info *f);

void onx_info_text(const struct onx_info *f, struct onx_buf *out);
int onx_info_json(const struct onx_info *f, struct onx_buf *out, struct onx_err *e) ONX_MUST;
void onx_info_dot(const struct onx_info *f, struct onx_buf *out);
/* The pre-flight.  ONX_NO if something stands in the way of training. */
int onx_info_check(const struct onx_info *f, struct onx_err *e) ONX_MUST;
/* info_rows.c: has what the loss works on a row for each sample, as far as can be seen?  why: if not. */
bool onx_info_rows(const struct onx_info *f, uint32_t target, char *why, size_t room);
/* Is there no plan for no other reason than shapes that each batch has of its own?  Then it runs, batch by batch. */
bool onx_info_asks(const struct onx_info *f);
/* Is there no plan, and yet every operator is there, so that onnx-run goes without one? */
bool onx_info_interpreted(const struct onx_info *f);
/* The operators that this build knows, with or without a gradient. */
enum onx_ops_form { ONX_OPS_TEXT, ONX_OPS_JSON, ONX_OPS_PAGE };
int onx_info_ops(enum onx_ops_form form, struct onx_buf *out, struct onx_err *e) ONX_MUST;
/* "float, int": the types of input 0 that the rule of a row takes in version `last` of its domain (or its first), "?"
 * where no node passes it. */
void onx_info_types(const struct onx_op *op, int last, struct onx_buf *out);

/* "[N,3,224,224]" as the file declares it: names of symbolic dims, '?' for unknown ones. */
const char *onx_declared_shape(const struct onx_value *v, char *buf, size_t n);

#endif
