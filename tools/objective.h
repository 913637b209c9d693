/* tools/objective.h -- from a model with marks to something that can be trained or scored: the graph, what
 * trains, the loss behind the logits.  Zero-initialise, open, (samples), attach, close. */
#ifndef ONX_OBJECTIVE_H
#define ONX_OBJECTIVE_H
#include "samples.h"
#include "train/loop.h"

struct onx_problem {
	struct onx_graph *g;
	struct onx_objective obj;
	bool *weight, *fresh;           /* by value                                                  */
	uint32_t *input; uint32_t n_input;      /* the model's own                                   */
	uint32_t logits;                /* what the loss is put on                                   */
	struct onx_pool *pool;
	bool wide;
	struct onx_arena mem;
};

/* Builds the graph of w->model with an open batch, finds inputs, logits and (train) the weights that are
 * marked to train; nothing marked is a fault that says what to do. */
int onx_problem_open(struct onx_work *w, bool train, int64_t threads, struct onx_problem *p,
		     struct onx_err *e) ONX_MUST;
/* Puts the loss behind the logits.  s may be NULL (synthetic data). */
int onx_problem_attach(struct onx_problem *p, const struct onx_train_opts *o, const struct onx_samples *s,
		       bool regress, struct onx_err *e) ONX_MUST;
void onx_problem_close(struct onx_problem *p);

/* The progress line of training and scoring; ctx is the struct onx_work. */
void onx_progress_line(void *ctx, const struct onx_progress *p);

#endif
