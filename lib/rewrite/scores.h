/* rewrite/scores.h -- classifiers of ai.onnx.ml, as scikit-learn's are written: a node that gives a label and
 * scores, and behind it what makes probabilities and maps of these. */
#ifndef ONX_REWRITE_SCORES_H
#define ONX_REWRITE_SCORES_H
#include "graph/graph.h"
#include "rewrite/patch.h"

/* The scores behind which a graph ends in Normalizer or ZipMap, or in the label: output 1 of the classifier, or what
 * ZipMap reads.  ONX_NONE: the graph does not end like that. */
uint32_t onx_scores(const struct onx_graph *g);
/* The classes by the classifier's attributes, unless these are the numbers 0, 1, ..., which name nothing: *n = 0. */
int onx_scores_labels(const struct onx_graph *g, struct onx_arena *a, const char *const **label, size_t *n,
		      struct onx_err *e) ONX_MUST;
/* What a loss works on instead of a LinearClassifier's output v, appended to p: the scores without the transform.
 * v itself where v is something else. */
uint32_t onx_scores_patch(struct onx_patch *p, const struct onx_graph *g, uint32_t v);
/* Is each class of v told apart from all others by a logistic function of its own? */
bool onx_scores_apart(const struct onx_graph *g, uint32_t v);
/* Does a node of ai.onnx.ml read an input of the graph?  Then the file has the scaling of columns in it. */
bool onx_scores_of_features(const struct onx_graph *g);

#endif
