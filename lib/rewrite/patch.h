/* rewrite/patch.h -- a change of a graph as a value.
 *
 * Whoever rewrites looks at the graph and describes the change in a patch; onx_patch_apply is the one
 * place that edits.  It checks the graph before and after and writes one line into the log.  A patch and
 * everything in it lives in an arena of the caller's; names and numbers are copied when it is applied.
 *
 * Values that a patch brings along have ids of their own, from onx_patch_value: they stand wherever an id
 * is wanted, and onx_patch_id tells the real one afterwards.  Shortage of memory while describing is
 * remembered and reported by onx_patch_apply.
 *
 * Order of application: new values; nodes dropped; outputs of nodes set; nodes added (an output may be an
 * existing value whose maker is dropped, or makes another one now: so a graph output keeps its name); inputs
 * and attributes set; values redirected. */
#ifndef ONX_PATCH_H
#define ONX_PATCH_H
#include "base/buf.h"
#include "graph/graph.h"

struct onx_patch_value { const char *name; enum onx_dtype type; int rank; const int64_t *dim; const void *data;
			 bool input; uint32_t id; };
struct onx_patch_node { const char *domain, *type, *name; const uint32_t *in, *out; uint32_t n_in, n_out;
			const struct onx_file_attr *attr; size_t n_attr; };
struct onx_patch_slot { uint32_t node, slot, value; };
struct onx_patch_attr { uint32_t node; const struct onx_file_attr *attr; size_t n; };
struct onx_patch_move { uint32_t from, to; };

struct onx_patch {
	struct onx_arena *mem;
	const char *rule, *where;       /* for the log: "head", "Gemm 'fc'"                        */
	struct onx_patch_value *value;  uint32_t n_value;
	uint32_t *drop;                 uint32_t n_drop;
	struct onx_patch_node *add;     uint32_t n_add;
	struct onx_patch_slot *slot;    uint32_t n_slot;
	struct onx_patch_slot *out;     uint32_t n_out;
	struct onx_patch_attr *attr;    uint32_t n_attr;
	struct onx_patch_move *move;    uint32_t n_move;
	bool lost;                      /* memory was short                                        */
};

/* A value made by a node of the patch (data NULL), or a weight with `data` in memory form. */
uint32_t onx_patch_value(struct onx_patch *p, const char *name, enum onx_dtype type, int rank,
			 const int64_t *dim, const void *data);
/* A new input of the graph; dim -1: symbolic. */
uint32_t onx_patch_input(struct onx_patch *p, const char *name, enum onx_dtype type, int rank,
			 const int64_t *dim);
void onx_patch_add(struct onx_patch *p, const struct onx_patch_node *n);
/* The common case: domain "", one output, a new value named `out`; returns it. */
uint32_t onx_patch_op(struct onx_patch *p, const char *type, const char *out, enum onx_dtype out_type,
		      const uint32_t *in, uint32_t n_in, const struct onx_file_attr *attr, size_t n_attr);
void onx_patch_drop(struct onx_patch *p, uint32_t node);
void onx_patch_slot(struct onx_patch *p, uint32_t node, uint32_t slot, uint32_t value);
/* The node makes `value`, new in the patch, as its output `slot`; what it made there has no maker any more. */
void onx_patch_out(struct onx_patch *p, uint32_t node, uint32_t slot, uint32_t value);
/* All attributes of a node anew. */
void onx_patch_attr(struct onx_patch *p, uint32_t node, const struct onx_file_attr *attr, size_t n);
/* Every reader of `from`, and the graph's outputs, take `to`. */
void onx_patch_move(struct onx_patch *p, uint32_t from, uint32_t to);
/* Drops every node that only served values which nobody would read once the patch has moved `from` values
 * and dropped its nodes; nodes that were idle before stay. */
int onx_patch_sweep(struct onx_patch *p, const struct onx_graph *g, struct onx_err *e) ONX_MUST;

/* log may be NULL; gets "rule: where: +nodes -nodes" and a line feed. */
int onx_patch_apply(struct onx_graph *g, struct onx_patch *p, struct onx_buf *log, struct onx_err *e) ONX_MUST;
/* After applying: the id in the graph. */
uint32_t onx_patch_id(const struct onx_patch *p, uint32_t id);

#endif
