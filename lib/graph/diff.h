/* graph/diff.h -- what is different between two model files: the core of onnx-diff.
 *
 * Two models are compared as they stand in their files (model/model.h), not by what they compute.
 * The result is a list of values; a tool prints it as text or JSON.  Texts and names in the list
 * live in the diff's own arena, so the models may be freed first.
 *
 * How things are paired: graph inputs, outputs, initializers, value_info, opsets, functions and
 * metadata by name (by domain, by key); nodes by name where both files have it exactly once, else
 * by their first named output.  What has no partner is REMOVED (only in a) or ADDED (only in b).
 * Two nodes that are paired are CHANGED once for each field that is not the same.  Numbers of a
 * weight are compared in the type of the file: first as bytes, then as numbers; whether they lie in
 * raw_data, typed fields or a file of their own makes no difference. */
#ifndef ONX_DIFF_H
#define ONX_DIFF_H
#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "model/model.h"
#include "tensor/tensor.h"

/*        name        word        what it is about */
#define ONX_DIFF_PLACES(X)                                                            \
	X(MODEL,     "model",      "IR version, producer, name of the graph")          \
	X(OPSET,     "opset",      "an opset import; the name is its domain")          \
	X(META,      "metadata",   "a key of metadata_props")                          \
	X(INPUT,     "input",      "a graph input: order, type or shape")              \
	X(OUTPUT,    "output",     "a graph output: order, type or shape")             \
	X(INFO,      "value_info", "a declared type or shape inside the graph")        \
	X(NODE,      "node",       "operator, inputs, outputs, attributes, order")     \
	X(WEIGHT,    "weight",     "an initializer or the value of a Constant node")

#define X(name, word, text) ONX_DIFF_##name,
enum onx_diff_place { ONX_DIFF_PLACES(X) };
#undef X
enum onx_diff_what { ONX_DIFF_REMOVED, ONX_DIFF_ADDED, ONX_DIFF_CHANGED };

struct onx_difference {
	enum onx_diff_place place;
	enum onx_diff_what what;
	const char *name; /* of the node, weight, key, ...; never NULL                  */
	const char *field; /* CHANGED: "inputs", "attribute 'axis'", "shape", "type",
					   "values", "order"; "" otherwise */
	const char *a, *b; /* how it reads in either model; "" where it is absent        */
	bool numbers; /* gap is filled: two weights of one type and shape           */
	struct onx_gap gap; /* elements beyond the tolerance, worst, where                */
};

struct onx_diff_options {
	double rtol, atol; /* both 0: weights must be the same numbers                   */
	bool no_meta; /* leave metadata_props, producer and doc strings out         */
	bool no_info; /* leave value_info out                                       */
};

struct onx_diff {                       /* zero-initialise */
	struct onx_arena arena;
	struct onx_difference *v; /* in the order of enum onx_diff_place, then as in a, then b  */
	size_t n, cap;
	size_t nodes_same; /* pairs of nodes without any difference                      */
	size_t weights_same; /* identical to the byte                                      */
	size_t weights_near; /* not identical, but within the tolerance: not listed        */
	size_t weights_far; /* listed                                                     */
	size_t numbers_same; /* elements of the weights that are identical to the byte     */
};

/* Fills d.  Differences are not a fault: the result is ONX_OK, and d->n == 0 says "the same". */
int onx_diff_models(const struct onx_model *a, const struct onx_model *b,
		    const struct onx_diff_options *o, struct onx_diff *d,
		    struct onx_err *e) ONX_MUST;
void onx_diff_release(struct onx_diff *d);

const char *onx_diff_place_text(enum onx_diff_place p);         /* "node"                     */
const char *onx_diff_what_text(enum onx_diff_what w);           /* "removed", "added", "changed" */
/* One line, no newline: "weight 'fc.w': values: 12 of 5120 differ, at most 0.03 (at 77: 1.5,
 * 1.53)". */
void onx_diff_line(const struct onx_difference *v, struct onx_buf *out);

#endif
