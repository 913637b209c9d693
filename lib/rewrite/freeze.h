/* rewrite/freeze.h -- which weights training may change: the mark onnx_adapt.train.
 *
 * Several choices combine in this order, later ones win:
 *   1. the start: --all nothing trains; --none everything; --last N the weights of the last N layers: nodes
 *      that bear weights, each together with the bias, scale or BatchNormalization right behind it, which
 *      are nodes of their own in some files and folded in others; without these everything, or nothing where
 *      only --train is given
 *   2. --up-to NAME   freezes all weights upstream of the node or tensor, its own (a node's) too
 *   3. --op TYPE      freezes the weights that operators of the type read
 *   4. --match GLOB   freezes weights by their name or the name of a node that reads them
 *   5. --train GLOB   makes them train, likewise
 * A weight that several nodes share follows a choice that meets any of them.  Running statistics are never
 * weights. */
#ifndef ONX_FREEZE_H
#define ONX_FREEZE_H
#include "base/field.h"
#include "graph/graph.h"

struct onx_freeze_opts {
	bool all, none;
	const char *up_to;              /* NULL: not asked */
	int64_t last;                   /* 0: not asked    */
	struct onx_strs op, match, train;
	bool dequantize;                /* whoever calls onx_freeze does that first (rewrite/dequantize.h)  */
};
extern const struct onx_table onx_freeze_table;

struct onx_freeze_count { size_t weights, numbers, training, training_numbers; };

/* Sets the mark.  A name, glob or type that meets nothing is a fault with the nearest name.  `count` may be
 * NULL. */
int onx_freeze(struct onx_graph *g, const struct onx_freeze_opts *o, struct onx_freeze_count *count,
	       struct onx_err *e) ONX_MUST;
/* By value: what trains according to the mark; *said is false where there is no mark.  A name that is
 * no weight of the graph is a fault. */
int onx_trainable(const struct onx_graph *g, struct onx_arena *a, bool **trains, bool *said, struct onx_err *e)
	ONX_MUST;

#endif
