/* graph/graph.h -- the model as values and nodes with numbers for names.
 *
 * Built from a model (graph/build.c), changed by patches (rewrite/), written back (graph/export.c):
 * nodes and weights that nobody touched keep their messages.  Everything lives in the graph's arena;
 * a pointer to a value or node is good until the next onx_graph_add_*, an id for ever. */
#ifndef ONX_GRAPH_H
#define ONX_GRAPH_H
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/names.h"
#include "model/model.h"
#include "op/op.h"

struct onx_value {
	const char *name;
	enum onx_dtype type;            /* as declared; ONX_UNDEFINED: not said                       */
	bool has_shape;
	int rank;
	int64_t dim[ONX_RANK];          /* -1: symbolic or unknown                                    */
	const char *sym[ONX_RANK];      /* name of a symbolic dim, or NULL                            */
	uint32_t def, def_slot;         /* the node that makes it and which output; ONX_NONE: none    */
	const struct onx_weight *init;  /* its numbers: an initializer or a Constant node             */
	bool input, output;             /* of the graph.  An IR 3 initializer is also an input        */
	bool from_node;                 /* made by a Constant node rather than an initializer         */
	bool fixed;                     /* of a body: training could not write it back (graph/build.c)  */
	bool composite;                 /* declared as a sequence, map or optional: no plan computes it   */
	bool lifted;                    /* stands in an attribute of the node that reads it (graph/lift.c) */
	void *proto;                    /* the ValueInfoProto that declares it; NULL: none             */
	bool changed;                   /* the declared type or shape was edited; !has_shape: forget it */
};
/* A graph inside a node: a branch, the body of a loop.  What it reads from around, and the constants in it,
 * are values of the graph around: value inner[i] of g is value outer[i] there. */
struct onx_body {
	struct onx_graph *g;
	uint32_t *inner, *outer, n_captured;
};
struct onx_node {
	const char *name, *type, *domain;
	const struct onx_op *op;        /* NULL only in a graph built with ONX_BUILD_LAX              */
	int version;                    /* of its domain                                              */
	const void *attr;               /* filled through op->attr                                    */
	uint32_t n_in, n_out;
	uint32_t *in, *out;             /* value ids; ONX_NONE: absent                                */
	uint32_t *captured, n_captured; /* values that the bodies of If, Loop, Scan read from outside  */
	struct onx_body *body; uint32_t n_body; /* If: then, else; Loop, Scan: one.  Owned by the graph */
	void *proto;                    /* source message; NULL: a new node                           */
	const struct onx_file_node *file;       /* its view: attributes as they are in the file       */
	const struct onx_file_attr *new_attr; size_t n_new_attr;        /* for a new node's message   */
	bool changed;                   /* proto set, but inputs, outputs or attributes were edited   */
	bool dropped;                   /* removed by a patch; skipped everywhere                     */
	bool late;                      /* a Gradient whose body is written when control flow is (plan/unroll.c) */
	uint64_t draw;                  /* onx_draw_inside of a node that was written out of a body, else 0 */
};
/* What a random node draws by (base/rng.h): its place in the graph; in a body those of the node around it and the
 * turn, so that a loop that is written out draws like one that is not. */
static inline uint64_t onx_draw_inside(uint64_t outer, uint64_t turn, uint32_t id)
{
	uint64_t h = (outer ^ UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9) + turn;
	h = (h ^ h >> 29) * UINT64_C(0x94d049bb133111eb) + id;
	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (h ^ h >> 31) | UINT64_C(1) << 63;
}
/* All that a node reads: its inputs (ONX_NONE: absent), then what its bodies capture. */
static inline uint32_t onx_node_reads(const struct onx_node *n)
{
	return n->n_in + n->n_captured;
}
static inline uint32_t onx_node_read(const struct onx_node *n, uint32_t i)
{
	return i < n->n_in ? n->in[i] : n->captured[i - n->n_in];
}
struct onx_graph {
	struct onx_arena arena;
	struct onx_model *model;        /* borrowed                                                   */
	struct onx_value *value; uint32_t n_value, cap_value;
	struct onx_node *node;   uint32_t n_node, cap_node;
	uint32_t *order; uint32_t n_order;      /* live nodes, inputs before users                    */
	uint32_t *input;  uint32_t n_input;     /* graph inputs that are not initializers             */
	uint32_t *output; uint32_t n_output;
	struct onx_names names;                 /* value name -> id                                   */
	struct onx_weight const **new_init; uint32_t n_new_init;        /* made by rewrites           */
};

/* Is there control flow among the nodes that count? */
static inline bool onx_graph_has_bodies(const struct onx_graph *g)
{
	for (uint32_t i = 0; i < g->n_order; i++)
		if (g->node[g->order[i]].n_body)
			return true;
	return false;
}

enum { ONX_BUILD_LAX = 1 };     /* unknown operators get op == NULL instead of a fault: onnx-info, onnx-freeze,
				   onnx-diff must be able to look at what cannot be run              */

int onx_graph_build(struct onx_model *m, int flags, struct onx_graph **out, struct onx_err *e) ONX_MUST;
/* Of a view that is not the main graph's: nodes with imports of their own (onx_file_node.call) keep them. */
int onx_graph_build_part(struct onx_model *m, const struct onx_file_graph *f, struct onx_graph **out,
			 struct onx_err *e) ONX_MUST;
void onx_graph_free(struct onx_graph *g);
/* Writes the graph into its model (nodes kept, dropped, changed, added; weights; inputs and outputs). */
int onx_graph_export(struct onx_graph *g, struct onx_err *e) ONX_MUST;

/* By node: stands with others for the call of a function that has an opset of its own, so that none of them can be
 * changed and written by itself. */
int onx_graph_whole(const struct onx_graph *g, struct onx_arena *a, bool **out, struct onx_err *e) ONX_MUST;

uint32_t onx_graph_find(const struct onx_graph *g, const char *value_name);     /* ONX_NONE */
uint32_t onx_graph_find_node(const struct onx_graph *g, const char *node_name);
/* "Conv 'features.0'" or "Conv #12 -> 'out'" where exporters lost the name; static buffers are not used. */
const char *onx_node_text(const struct onx_graph *g, uint32_t node, char *buf, size_t n);

/* graph/gradient.c: the bodies of Gradients that were left for later, once there is no control flow between what they
 * differentiate and what by.  The bodies' graphs are new, and the caller's to free (onx_node.late). */
int onx_graph_late(struct onx_graph *g, struct onx_err *e) ONX_MUST;
/* Recomputes g->order; a cycle is a fault that names it. */
int onx_graph_order(struct onx_graph *g, struct onx_err *e) ONX_MUST;
/* Every invariant: ids in range, one maker for each value, order right, names unique. */
int onx_graph_check(const struct onx_graph *g, struct onx_err *e) ONX_MUST;

/* Who reads a value: nodes use[first[v]] .. use[first[v+1]-1] (in order, each node once; a node whose
 * body captures the value reads it too). */
struct onx_uses { uint32_t *first, *use; };
int onx_graph_uses(const struct onx_graph *g, struct onx_arena *a, struct onx_uses *out, struct onx_err *e) ONX_MUST;

/* Building blocks for rewrites.  Names are made unique with a suffix if `name` is taken. */
int onx_graph_add_value(struct onx_graph *g, const char *name, enum onx_dtype type, uint32_t *id,
			struct onx_err *e) ONX_MUST;
int onx_graph_add_weight(struct onx_graph *g, const char *name, enum onx_dtype type, int rank,
			 const int64_t *dim, const void *data, uint32_t *id, struct onx_err *e) ONX_MUST;
/* Other numbers, and perhaps another real type, for a constant (initializer or Constant node) that keeps its
 * name and shape.  data: in the memory form of the type. */
int onx_graph_set_weight(struct onx_graph *g, uint32_t id, enum onx_dtype type, const void *data,
			 struct onx_err *e) ONX_MUST;
/* attr: as in a file; it is parsed through the operator's table and written on export. `out` ids must
 * exist and have no maker. */
int onx_graph_add_node(struct onx_graph *g, const char *domain, const char *type, const char *name,
		       const uint32_t *in, uint32_t n_in, const uint32_t *out, uint32_t n_out,
		       const struct onx_file_attr *attr, size_t n_attr, uint32_t *id, struct onx_err *e) ONX_MUST;

/* graph/dump.c: stable text, one line for each input, weight, node and output: for golden files and
 * for looking at a rewrite. */
void onx_graph_dump(const struct onx_graph *g, struct onx_buf *out);

/* graph/attr.c: attributes of a file node into op->attr's struct; unknown and missing ones are faults. */
int onx_attr_fill(const struct onx_op *op, const struct onx_file_attr *attr, size_t n, struct onx_arena *a,
		  const void **out, struct onx_err *e) ONX_MUST;

/* The attribute of that name, or NULL. */
const struct onx_file_attr *onx_attr_find(const struct onx_file_attr *attr, size_t n, const char *name);

/* Attributes for new nodes. */
static inline struct onx_file_attr onx_attr_int(const char *name, int64_t i)
{
	return (struct onx_file_attr){ .name = name, .type = ONX_ATTR_INT, .i = i };
}
static inline struct onx_file_attr onx_attr_float(const char *name, double f)
{
	return (struct onx_file_attr){ .name = name, .type = ONX_ATTR_FLOAT, .f = (float)f };
}
static inline struct onx_file_attr onx_attr_ints(const char *name, const int64_t *v, size_t n)
{
	return (struct onx_file_attr){ .name = name, .type = ONX_ATTR_INTS, .ints = v, .n = n };
}

/* Attributes with names, texts and numbers of their own in a (tensors and bodies belong to the model);
 * NULL if memory is short. */
struct onx_file_attr *onx_attr_copy(struct onx_arena *a, const struct onx_file_attr *attr, size_t n);

/* graph/weights.c: which constants are weights.  A float constant is a weight if it reaches, directly or
 * through data movement (Reshape, Transpose, Gather, Concat, ...), functions of it alone (Exp, Clip, ...) and
 * QuantizeLinear with DequantizeLinear, an input that its operator calls one (op->weight).  A single number
 * beside arithmetic (ONX_OP_SETTING) is a setting, except as the bias behind a MatMul.  is[v] is set for each
 * value. */
int onx_graph_weights(const struct onx_graph *g, struct onx_arena *a, bool **is, struct onx_err *e) ONX_MUST;
/* Weights that the file keeps quantised, as whole numbers that do not train: the DequantizeLinear nodes that make
 * them from constants. */
int onx_graph_quantised(const struct onx_graph *g, struct onx_arena *a, uint32_t **node, uint32_t *n,
			struct onx_err *e) ONX_MUST;

/* graph/written.c: operators of com.microsoft that the graph has as others put together; NULL behind the last, some
 * come several times. */
const char *onx_graph_written(size_t i);

#endif
