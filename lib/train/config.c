/* train/config.c -- the options of training. */
#include "train/config.h"
#include <string.h>

#define AT(member) offsetof(struct onx_train_opts, member)
static const char *const losses[] = { "auto", "ce", "bce", "mse", "l1", "huber", NULL };
static const char *const optims[] = { "sgd", "adam", "adamw", NULL };
static const char *const schedules[] = { "constant", "step", "cosine", "onecycle", NULL };
static const char *const norms[] = { "auto", "frozen", NULL };

static const struct onx_field fields[] = {
	{ "epochs", F_INT, AT(epochs), .def = "0", .min = 0, .max = 1e6, .arg = "N",
	  .help = "passes over the training data; 0: 30 where only new layers train, else 10",
	  .group = "Training" },
	{ "batch", F_INT, AT(batch), .def = "32", .min = 1, .max = 65536, .arg = "N",
	  .help = "samples in a step" },
	{ "loss", F_ENUM, AT(loss), .def = "auto", .choices = losses,
	  .help = "what is made small; auto: ce (cross-entropy) for classes, mse for regression" },
	{ "label-smoothing", F_REAL, AT(label_smoothing), .def = "0", .min = 0, .max = 0.99, .arg = "X",
	  .help = "share of the target spread over all classes" },
	{ "class-weights", F_STR, AT(class_weights), .def = "", .arg = "W,...",
	  .help = "weight of each class in the loss, or 'balanced': rarer classes weigh more" },
	{ "ignore-index", F_INT, AT(ignore_index), .def = "-100", .min = -1e9, .max = 1e9, .arg = "N",
	  .help = "label of samples that do not count" },
	{ "huber-delta", F_REAL, AT(huber_delta), .def = "1", .min = 1e-9, .max = 1e9, .arg = "X",
	  .help = "where the huber loss turns from square to straight" },
	{ "optim", F_ENUM, AT(optim), .def = "adamw", .choices = optims,
	  .help = "update rule, as PyTorch defines it", .group = "Optimiser" },
	{ "lr", F_REAL, AT(lr), .def = "0", .min = 0, .max = 100, .arg = "X",
	  .help = "peak learning rate; 0: 0.01 where only new layers train, 0.001 deeper (adam, adamw), 0.01 (sgd)" },
	{ "momentum", F_REAL, AT(momentum), .def = "0.9", .min = 0, .max = 0.9999, .arg = "X",
	  .help = "of sgd" },
	{ "nesterov", F_BOOL, AT(nesterov), .def = "no", .help = "Nesterov's form of momentum" },
	{ "betas", F_REALS, AT(betas), .def = "0.9,0.999", .min = 0, .max = 0.999999, .arg = "B1,B2",
	  .help = "decay of the moments in adam and adamw" },
	{ "eps", F_REAL, AT(eps), .def = "1e-8", .min = 0, .max = 1, .arg = "X",
	  .help = "added to the denominator in adam and adamw" },
	{ "weight-decay", F_REAL, AT(weight_decay), .def = "-1", .min = -1, .max = 10, .arg = "X",
	  .help = "-1: 0.01 for adamw, 0 for the others; biases and norms are spared" },
	{ "decay-all", F_BOOL, AT(decay_all), .def = "no", .help = "weight decay on biases and norms too" },
	{ "clip", F_REAL, AT(clip), .def = "0", .min = 0, .max = 1e9, .arg = "NORM",
	  .help = "scale gradients down to this norm; 0: leave them" },
	{ "accumulate", F_INT, AT(accumulate), .def = "1", .min = 1, .max = 65536, .arg = "N",
	  .help = "batches whose gradients are averaged in one step" },
	{ "schedule", F_ENUM, AT(schedule), .def = "cosine", .choices = schedules,
	  .help = "how the learning rate goes", .group = "Schedule" },
	{ "warmup", F_REAL, AT(warmup), .def = "0", .min = 0, .max = 1e6, .arg = "EPOCHS",
	  .help = "linear rise at the start; may be a fraction of an epoch" },
	{ "step-epochs", F_INT, AT(step_epochs), .def = "10", .min = 1, .max = 1e6, .arg = "N",
	  .help = "schedule step: epochs between two drops" },
	{ "gamma", F_REAL, AT(gamma), .def = "0.1", .min = 1e-9, .max = 1, .arg = "X",
	  .help = "schedule step: factor of a drop" },
	{ "min-lr", F_REAL, AT(min_lr), .def = "0", .min = 0, .max = 1, .arg = "X",
	  .help = "schedule cosine: where it ends, as a fraction of the peak" },
	{ "patience", F_INT, AT(patience), .def = "0", .min = 0, .max = 1e6, .arg = "EPOCHS",
	  .help = "stop after so many epochs without improvement; 0: never", .group = "Stopping" },
	{ "keep-best", F_BOOL, AT(keep_best), .def = "yes",
	  .help = "write the weights of the best epoch on the validation data, not the last ones" },
	{ "bn", F_ENUM, AT(bn), .def = "auto", .choices = norms,
	  .help = "BatchNormalization whose weights train: batch statistics (auto) or the stored ones",
	  .group = "Behaviour" },
	{ "shuffle", F_BOOL, AT(shuffle), .def = "yes", .help = "new order of the samples in each epoch" },
	{ "precise", F_BOOL, AT(precise), .def = "no",
	  .help = "leave out ways to compute that are faster, but round more than the formula: 3x3 convolutions by "
		  "Winograd's products, whose sums are off by a millionth" },
	{ "straight-through", F_BOOL, AT(straight), .def = "no",
	  .help = "gradients go through Floor, Ceil, Round, Sign (inside [-1, 1]) and pairs of "
		  "(Dynamic)QuantizeLinear and DequantizeLinear (inside their range) as if these were y = x" },
	{ "seed", F_INT, AT(seed), .def = "1", .min = 0, .max = 4e18, .arg = "N",
	  .help = "of order, split, dropout and augmentation: one seed, one result" },
	{ "threads", F_INT, AT(threads), .def = "0", .min = 0, .max = 1024, .arg = "N",
	  .help = "0: all cores; the result does not depend on it" },
	{ "mem", F_SIZE, AT(mem), .def = "0", .min = 0, .max = 9e18, .arg = "BYTES",
	  .help = "memory budget, like 512M: the step is computed in parts, some of them twice, until it fits; 0: no "
		  "limit" },
	{ "cache", F_BOOL, AT(cache), .def = "yes",
	  .help = "run the frozen part once per sample and keep its output" },
	{ "cache-dir", F_STR, AT(cache_dir), .def = "", .arg = "DIR",
	  .help = "keep that output there for the next run" },
	{ "views", F_INT, AT(views), .def = "0", .min = 0, .max = 1000, .arg = "K",
	  .help = "with augmentation: keep the frozen part's output for K random views of each sample; 0: "
		  "none, compute it anew" },
	{ .name = NULL }
};

static int check(const void *obj, struct onx_err *e)
{
	const struct onx_train_opts *o = obj;
	if (o->betas.n != 2)
		return onx_fail(e, ONX_USAGE, "'betas' wants two numbers, found %zu", o->betas.n);
	if (o->nesterov && (o->optim != ONX_SGD || o->momentum == 0))
		return onx_fail(e, ONX_USAGE, "'nesterov' needs optim sgd with momentum");
	return ONX_OK;
}

const struct onx_table onx_train_table = {
	"train", sizeof(struct onx_train_opts), fields, check, AT(given)
};

double onx_train_lr(const struct onx_train_opts *o, bool only_new)
{
	if (o->lr > 0)
		return o->lr;
	if (o->optim == ONX_SGD)
		return 0.01;
	return only_new ? 0.01 : 0.001;
}

int64_t onx_train_epochs(const struct onx_train_opts *o, bool only_new)
{
	return o->epochs > 0 ? o->epochs : only_new ? 30 : 10;
}

double onx_train_decay(const struct onx_train_opts *o)
{
	if (o->weight_decay >= 0)
		return o->weight_decay;
	return o->optim == ONX_ADAMW ? 0.01 : 0;
}
