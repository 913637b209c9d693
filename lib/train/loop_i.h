/* train/loop_i.h -- the state of one training; private to train/. */
#ifndef ONX_LOOP_I_H
#define ONX_LOOP_I_H
#include "train/feature.h"
#include "train/loop.h"
#include "train/optim.h"
#include "train/runner.h"
#include "train/sched.h"

/* train/micro.c: the number of samples that is computed at once under a budget. */
struct onx_micro {
	size_t mem;                     /* the budget; 0: none                               */
	size_t fixed, each;             /* bytes that are taken anyway, and by each sample   */
	struct { struct onx_runner *runner; size_t samples; } part[3];  /* samples of a pass */
	int n;
};
/* Plans all parts for the largest micro-batch that fits: `batch` or a divisor of it. */
int onx_micro_fit(const struct onx_micro *f, size_t batch, size_t *micro, struct onx_err *e) ONX_MUST;
/* What was chosen, and what it means for `bn` nodes that take statistics of a batch. */
void onx_micro_say(const struct onx_micro *f, const struct onx_plan *p, size_t micro, size_t batch, uint32_t bn,
		 const struct onx_note *note);

struct onx_trainer {
	const struct onx_train_ask *ask;
	const struct onx_train_opts *o;
	struct onx_arena arena;
	struct onx_modes modes;
	struct onx_consts consts;
	struct onx_params *params;
	struct onx_block_mem block;
	struct onx_runner train, eval, prefix;
	struct onx_prefix cut;          /* n == 0: no frozen prefix is kept                  */
	bool kept;                      /* features are used                                 */
	bool alone;                     /* the file takes one sample at a time                */
	void **row;                     /* by cut: features of a micro-batch, where they decide; or NULL */
	struct onx_features tf, vf;     /* of the training and the validation samples        */
	struct onx_feed *in_feed, *feed;        /* of the model's inputs; of train and eval   */
	uint32_t n_in, n_feed;
	const void **number;            /* by feed of train and eval, NULL but where a loader brings them, or row */
	struct onx_open open;           /* control flow that depends on the numbers                       */
	struct onx_optim optim;
	uint32_t eval_target[2];
	struct onx_micro parts;
	const struct onx_plan *plan;    /* of a micro-batch                                  */
	size_t micro, whole;            /* samples computed at once, and in a batch          */
	size_t step_samples;            /* samples of one step: batch * accumulate           */
	uint64_t per_epoch, total;      /* steps                                             */
	double lr;
	int64_t epochs;
	uint32_t *order;                /* of the epoch                                      */
	void *y;                        /* labels of a micro-batch, where features are used  */
	void *best;                     /* weights of the best epoch                         */
	double best_score[2];           /* the larger the better, compared in this order     */
	uint64_t epoch, step, best_epoch, since_best;
	struct onx_score best_val;
	struct onx_score e_train, e_val;
	double began;
	bool ignores, weighted;         /* the loss leaves out ignored labels; divides by class weights */
	size_t fixed_bytes;             /* weights, gradients, state, constants, features    */
};

int onx_trainer_setup(struct onx_trainer *t, struct onx_err *e) ONX_MUST;      /* train/setup.c */
/* Computes the frozen prefix of all samples and says what is going to happen. */
int onx_trainer_begin(struct onx_trainer *t, struct onx_train_result *r, struct onx_err *e) ONX_MUST;
void onx_trainer_release(struct onx_trainer *t);
double onx_clock(void);                                 /* seconds, monotonic */

/* train/featurekey.c: a hash of everything that the kept results depend on: what is in the nodes, constants, data and
 * how it is taken.  augment: NULL where the samples are taken as they are. */
int onx_features_key(const struct onx_trainer *t, const struct onx_source *src, const struct onx_list *list,
		     const struct onx_augment *augment, uint64_t *key, struct onx_err *e) ONX_MUST;

/* train/target.c: the feed of the labels for one sample, and filling it: classes as INT64; for binary
 * cross-entropy as numbers 0 and 1, or one column a class. */
struct onx_feed onx_target_feed(const struct onx_objective *obj, const struct onx_graph *g,
				const struct onx_source *src, bool wide);
void onx_feed_target(struct onx_exec *x, uint32_t target, const struct onx_view *y);

/* train/ckpt.c: everything that the next epoch depends on. */
int onx_ckpt_write(const struct onx_trainer *t, const char *dir, struct onx_err *e) ONX_MUST;
int onx_ckpt_read(struct onx_trainer *t, const char *dir, struct onx_err *e) ONX_MUST;

#endif
