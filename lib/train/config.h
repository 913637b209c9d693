/* train/config.h -- what a user may say about training; onx_train_table describes it for argv (onnx-train)
 * and recipes (section `train`). */
#ifndef ONX_TRAIN_CONFIG_H
#define ONX_TRAIN_CONFIG_H
#include "base/field.h"

enum onx_loss_kind { ONX_LOSS_AUTO, ONX_LOSS_CE, ONX_LOSS_BCE, ONX_LOSS_MSE, ONX_LOSS_L1, ONX_LOSS_HUBER };
enum onx_optim_kind { ONX_SGD, ONX_ADAM, ONX_ADAMW };
enum onx_sched_kind { ONX_CONSTANT, ONX_STEP, ONX_COSINE, ONX_ONECYCLE };

struct onx_train_opts {
	int64_t epochs, batch;
	int loss;                       /* enum onx_loss_kind; auto: cross-entropy, or MSE for regression */
	double label_smoothing, huber_delta;
	int64_t ignore_index;
	const char *class_weights;      /* NULL: none; "balanced"; or numbers "1,2.5,1"              */
	int optim;                      /* enum onx_optim_kind                                       */
	double lr;                      /* 0: by optimiser and depth, see onx_train_lr               */
	double momentum; bool nesterov;
	struct onx_reals betas; double eps;
	double weight_decay;            /* < 0: the optimiser's usual one                            */
	bool decay_all;                 /* also biases and norms                                     */
	int schedule;                   /* enum onx_sched_kind                                       */
	double warmup;                  /* epochs, may be a fraction                                 */
	int64_t step_epochs; double gamma;      /* schedule step                                     */
	double min_lr;                  /* cosine ends here, as a fraction of lr                     */
	double clip;                    /* largest norm of the gradient; 0: none                     */
	int64_t accumulate;             /* batches a step                                            */
	int64_t patience;               /* epochs without improvement; 0: never stop early           */
	bool keep_best;
	int bn;                         /* enum onx_bn_mode                                          */
	bool shuffle, precise, straight;
	int64_t seed, threads;
	int64_t mem;                    /* bytes; 0: no limit                                        */
	bool cache; const char *cache_dir; int64_t views;       /* the frozen prefix                 */
	uint64_t given;
};
extern const struct onx_table onx_train_table;

/* Peak learning rate: what was said, else 0.01 for SGD; for Adam and AdamW 0.01 where only new layers train
 * (mostly one layer on kept features, which bears it and gains from it) and 0.001 where layers that know
 * something already train too. */
double onx_train_lr(const struct onx_train_opts *o, bool only_new);
/* Epochs: what was said, else 30 where only new layers train (cheap on kept features), 10 otherwise. */
int64_t onx_train_epochs(const struct onx_train_opts *o, bool only_new);
/* What was said, else 0.01 for AdamW and 0 for the others (as PyTorch). */
double onx_train_decay(const struct onx_train_opts *o);

#endif
