/* train/loop.h -- training and evaluation of a graph on data.
 *
 *   tool:  graph + loss node + loaders  ->  onx_train  ->  weights written back into the model
 *
 * onx_train plans everything first (what trains, memory, the frozen prefix), says so through `note`, and
 * only then computes.  A frozen prefix runs once per sample and its output is kept (train/feature.h).
 * Everything random is a function of (seed, epoch, step, sample); checkpoints are written between epochs, so
 * a resumed run ends with the same bits as one that went straight through. */
#ifndef ONX_LOOP_H
#define ONX_LOOP_H
#include <signal.h>
#include "base/note.h"
#include "data/batch.h"
#include "exec/exec.h"
#include "train/config.h"
#include "train/event.h"
#include "train/metric.h"

/* The graph with a loss node behind the logits (rewrite/loss.h). */
struct onx_objective {
	uint32_t loss;                  /* scalar: the batch's mean                                  */
	uint32_t target;                /* graph input that takes the labels                         */
	uint32_t logits;                /* what accuracy is taken from                               */
	const uint32_t *input; uint32_t n_input;        /* the model's own inputs, in the order of the loader's */
	const float *class_weight;      /* n_class, or NULL: as given to the loss node               */
	uint32_t n_class;               /* 0: regression                                             */
};

struct onx_progress {                   /* for the line on a terminal */
	uint64_t epoch, epochs, sample, samples;        /* within the epoch                          */
	double loss, accuracy, samples_per_s, seconds_left;
	const char *phase;              /* "frozen part", "training", "validation"                   */
};
struct onx_train_ask {
	struct onx_graph *g;
	struct onx_objective obj;
	const bool *weight;             /* by value: what trains                                     */
	const bool *fresh;              /* by value: weights that onnx-head made; NULL: none         */
	const struct onx_train_opts *o;
	struct onx_source *src;  struct onx_loader *loader;             /* training                  */
	struct onx_source *vsrc; struct onx_loader *vloader;            /* validation; may be the same */
	const struct onx_augment *augment;      /* NULL or off: pictures as they are                 */
	struct onx_list train, val;     /* val.n == 0: no validation                                 */
	uint64_t data_hash;             /* of data and preprocessing, for the cache's key            */
	const char *checkpoint, *resume;        /* folders, or NULL                                  */
	struct onx_pool *pool;
	struct onx_note note;
	struct onx_events *events;      /* NULL: none                                                */
	void (*progress)(void *ctx, const struct onx_progress *p); void *progress_ctx;  /* may be NULL */
	const volatile sig_atomic_t *stop;      /* set by Ctrl-C; may be NULL                        */
	bool dry;                       /* plan and say, do not compute                              */
	bool wide;                      /* see onx_train_wide; the loaders are made with the same     */
};
struct onx_train_result {
	uint64_t epochs, best_epoch, steps;
	struct onx_score train, val;    /* of the last epoch, of the best one                        */
	double seconds, prefix_seconds, lr;
	size_t peak_bytes, n_weight, n_tensor;  /* planned bytes; elements and tensors that train    */
	bool stopped, early;
};

/* Training in double: where a weight that trains is stored so. */
bool onx_train_wide(const struct onx_graph *g, const bool *weight);
/* Trains and writes the weights (the best ones, if o->keep_best and there is validation) into the model.
 * ONX_NUMERIC where a loss is not finite: nothing is written. */
int onx_train(const struct onx_train_ask *ask, struct onx_train_result *r, struct onx_err *e) ONX_MUST;

/* Forward only: adds every sample of the list to the score. */
struct onx_eval_ask {
	struct onx_graph *g;
	struct onx_objective obj;
	struct onx_loader *loader; const struct onx_source *src;
	struct onx_list list;
	int64_t ignore_index;
	bool precise;                   /* see onx_train_opts                                         */
	struct onx_pool *pool;
	void (*progress)(void *ctx, const struct onx_progress *p); void *progress_ctx;
	const volatile sig_atomic_t *stop;
};
int onx_evaluate(const struct onx_eval_ask *ask, struct onx_score *score, struct onx_err *e) ONX_MUST;

/* Synthetic data, for onnx-train --bench: `steps` training steps after one that is not counted; seconds of
 * each; `feed` are the model's inputs with the batch bound; peak_bytes as planned.  Uses g, obj, weight, o,
 * pool and wide of the ask.  profile (NULL: none) is told the plan, at the end, and the seconds that each of
 * its steps took, summed over the training steps. */
typedef int onx_bench_profile(void *ctx, const struct onx_plan *p, const double *seconds, struct onx_err *e);
struct onx_bench {
	int steps;
	double *seconds;                /* of each step                                              */
	size_t peak_bytes, micro;       /* planned; samples computed at once under o->mem            */
	double again;                   /* share of the forward pass that is computed twice          */
	onx_bench_profile *profile; void *ctx;
};
int onx_train_bench(const struct onx_train_ask *ask, const struct onx_feed *feed, uint32_t n_feed,
		    struct onx_bench *bench, struct onx_err *e) ONX_MUST;

#endif
