/* Training of a small net on arrays, through the real sources and loaders. */
#include "unit/lib/net.h"
#include <math.h>
#include <unistd.h>
#include "data/npy.h"
#include "rewrite/loss.h"
#include "train/loop.h"
#include "unit/lib/pictures.h"

enum { SAMPLES = 40, FEATURES = 6, HIDDEN = 8, CLASSES = 3 };

static char dir[256];

/* One training: what differs from the usual, and what came out. */
struct job {
	const char *set[10][2];         /* options: name, value                               */
	const char *loss;               /* type of the loss node; NULL: CrossEntropy          */
	const float *class_weight;
	bool deep, norm, dropout;       /* the body trains too; BN, Dropout in it             */
	bool regress, nan;              /* y are numbers; with one NaN among x                */
	int threads;
	const char *checkpoint, *resume, *val;  /* val: "half": of the same source; else SRC  */
	size_t n_train;                 /* 0: all                                             */
	bool no_samples;
	const volatile sig_atomic_t *stop;
	int rc;
	struct onx_err e;
	struct onx_train_result r;
	double w[256]; size_t n_w;      /* all weights afterwards                             */
	char said[4096];
};

static const char *in_dir(const char *name)
{
	static char path[2][512];
	static int turn;
	turn = !turn;
	snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
	return path[turn];
}

static void array(const char *name, enum onx_dtype type, size_t width, const void *v, int64_t n, int64_t k)
{
	const int64_t dim[2] = { n, k };
	struct onx_err e = { 0 };
	const struct onx_view a = { .v = (void *)(uintptr_t)v, .n = (size_t)(n * (k ? k : 1)), .rank = k ? 2 : 1,
				    .dim = dim, .type = type, .width = (uint8_t)width };
	must(onx_npy_write(in_dir(name), &a, &e), &e);
}

static float X[SAMPLES][FEATURES], T[SAMPLES][CLASSES];
static int64_t Y[SAMPLES];

static int files(void **state)
{
	struct onx_rng r;
	(void)state;
	test_folder(dir, sizeof dir);
	onx_rng_init(&r, 7, ONX_RNG_TEST, 0, 0);
	for (int i = 0; i < SAMPLES; i++) {
		Y[i] = i % 7 == 0 ? 2 : i % 3;
		for (int k = 0; k < FEATURES; k++)
			X[i][k] = (float)(onx_rng_normal(&r) + (k == Y[i] ? 1.5 : 0));
		for (int c = 0; c < CLASSES; c++)
			T[i][c] = X[i][c] - 0.5f * X[i][c + 1];
	}
	array("x.npy", ONX_FLOAT, 4, X, SAMPLES, FEATURES);
	array("y.npy", ONX_INT64, 8, Y, SAMPLES, 0);
	array("t.npy", ONX_FLOAT, 4, T, SAMPLES, CLASSES);
	array("x2.npy", ONX_FLOAT, 4, X, SAMPLES / 2, FEATURES);
	array("y2.npy", ONX_INT64, 8, Y, SAMPLES / 2, 0);
	array("t2.npy", ONX_FLOAT, 4, T, SAMPLES / 2, 2);
	X[5][1] = NAN;
	array("nan.npy", ONX_FLOAT, 4, X, SAMPLES, FEATURES);
	X[5][1] = 0.25f;
	array("x.npy", ONX_FLOAT, 4, X, SAMPLES, FEATURES);
	return 0;
}

static int gone(void **state)
{
	(void)state;
	test_folder_gone(dir);
	return 0;
}

static void say(void *ctx, enum onx_level level, const char *line)
{
	struct job *j = ctx;
	const size_t at = strlen(j->said);
	(void)level;
	snprintf(j->said + at, sizeof j->said - at, "%s\n", line);
}

/* x -> MatMul, Add -> (BN) -> Relu -> (Dropout) -> Gemm -> logits */
static uint32_t body(struct net *n, const struct job *j)
{
	const uint32_t x = IN(n, "x", 1, FEATURES);
	n->g->value[x].dim[0] = -1;
	uint32_t h = OP2(n, "Add", OP2(n, "MatMul", x, net_weight(n, j->deep, false,
		     (int64_t[4]){ FEATURES, HIDDEN })), FROZEN(n, HIDDEN));
	if (j->norm) {
		const uint32_t in[5] = { h, POSITIVE(n, j->deep, HIDDEN), FROZEN(n, HIDDEN), FROZEN(n, HIDDEN),
					 POSITIVE(n, false, HIDDEN) };
		net_node(n, "BatchNormalization", 5, in, 1, &h, 0, NULL);
	}
	h = OP1(n, "Relu", h);
	if (j->dropout)
		h = OP1(n, "Dropout", h);
	h = OP3(n, "Gemm", h, W(n, HIDDEN, CLASSES), W(n, CLASSES));
	net_target(n, h);
	n->g->value[h].has_shape = true;
	n->g->value[h].rank = 2;
	n->g->value[h].dim[0] = -1;
	n->g->value[h].dim[1] = CLASSES;
	return h;
}

struct data {
	struct onx_arena a;
	struct onx_source_opts so;
	struct onx_preset preset;
	struct onx_data_want want;
	struct onx_source *src, *vsrc;
	struct onx_loader *ld, *vld;
	struct onx_list train, val;
};

static void source(struct data *d, const char *spec, const struct onx_train_opts *o, struct onx_source **src,
		   struct onx_loader **ld)
{
	struct onx_err e = { 0 };
	const struct onx_source_ask ask = { .opts = &d->so, .want = &d->want, .n_want = 1 };
	must(onx_source_open(spec, &ask, src, &e), &e);
	const struct onx_loader_opts lo = { .want = &d->want, .n_want = 1, .preset = &d->preset,
					    .batch = (size_t)o->batch, .workers = 2, .seed = 1 };
	must(onx_loader_new(*src, &lo, ld, &e), &e);
}

static void open_data(struct data *d, const struct job *j, const struct onx_train_opts *o)
{
	static const int64_t dim[2] = { -1, FEATURES };
	char spec[2048];
	struct onx_err e = { 0 };
	must(onx_defaults(&onx_source_table, &d->so, &d->a, &e), &e);
	d->so.task = j->regress ? ONX_TASK_REGRESS : ONX_TASK_CLASSIFY;
	d->want = (struct onx_data_want){ "x", ONX_FLOAT, 2, dim };
	snprintf(spec, sizeof spec, "%s/%s,%s/%s", dir, j->nan ? "nan.npy" : "x.npy", dir,
		 j->regress ? "t.npy" : "y.npy");
	source(d, spec, o, &d->src, &d->ld);
	must(onx_list_all(d->src, &d->a, &d->train, &e), &e);
	if (j->val && strcmp(j->val, "half") == 0) {
		d->vsrc = d->src;
		d->vld = d->ld;
		must(onx_split(d->src, 0.5, 1, &d->a, &d->train, &d->val, &e), &e);
	} else if (j->val) {
		snprintf(spec, sizeof spec, "%s/x2.npy,%s/%s", dir, dir, j->val);
		source(d, spec, o, &d->vsrc, &d->vld);
		must(onx_list_all(d->vsrc, &d->a, &d->val, &e), &e);
	}
	d->train.n = j->no_samples ? 0 : j->n_train ? j->n_train : d->train.n;
}

static void close_data(struct data *d)
{
	if (d->vld != d->ld)
		onx_loader_free(d->vld);
	onx_loader_free(d->ld);
	if (d->vsrc != d->src)
		onx_source_free(d->vsrc);
	onx_source_free(d->src);
	onx_arena_release(&d->a);
}

static void options(struct job *j, struct onx_train_opts *o, struct onx_arena *a)
{
	static const char *const usual[][2] = { { "epochs", "3" }, { "batch", "8" }, { "lr", "0.05" },
						{ "optim", "sgd" }, { "schedule", "constant" } };
	struct onx_err e = { 0 };
	must(onx_defaults(&onx_train_table, o, a, &e), &e);
	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
		must(onx_set(&onx_train_table, onx_find(&onx_train_table, usual[i][0]), o, usual[i][1], a, &e),
		     &e);
	for (int i = 0; i < 10 && j->set[i][0]; i++)
		must(onx_set(&onx_train_table, onx_find(&onx_train_table, j->set[i][0]), o, j->set[i][1], a,
			     &e), &e);
}

static void collect(struct job *j, const struct net *n)
{
	struct onx_err e = { 0 };
	for (uint32_t v = 0; v < n->g->n_value; v++) {
		const struct onx_weight *w = n->g->value[v].init;
		if (!w || w->type != ONX_FLOAT || strstr(w->name, "onnx_adapt"))
			continue;
		const struct onx_view to = { .v = j->w + j->n_w, .n = w->n, .rank = w->rank, .dim = w->dim,
					     .type = ONX_DOUBLE, .width = 8 };
		assert_true(j->n_w + w->n <= 256);
		must(onx_weight_load(w, &to, &e), &e);
		j->n_w += w->n;
	}
}

/* Sets the stop flag, as Ctrl-C would, after so many steps. */
static volatile sig_atomic_t halt;
static int left;
static void count_down(void *ctx, const struct onx_progress *p)
{
	(void)ctx;
	if (strcmp(p->phase, "training") == 0 && --left == 0)
		halt = 1;
}

static void train(struct job *j)
{
	struct net n;
	struct data d = { 0 };
	struct onx_train_opts o;
	struct onx_loss made;
	struct onx_pool *pool;
	struct onx_err e = { 0 };
	j->n_w = 0;
	j->said[0] = 0;
	net_new(&n);
	const uint32_t logits = body(&n, j);
	options(j, &o, &d.a);
	open_data(&d, j, &o);
	const struct onx_loss_opts lo = { j->loss ? j->loss : "CrossEntropy", o.label_smoothing, o.ignore_index,
					  o.huber_delta, j->class_weight, CLASSES };
	must(onx_loss_append(n.g, logits, &lo, &made, NULL, &e), &e);
	must(onx_pool_new(j->threads ? j->threads : 1, &pool, &e), &e);
	const uint32_t input = n.g->input[0];
	const struct onx_train_ask ask = {
		.g = n.g, .obj = { made.loss, made.target, made.logits, &input, 1, j->class_weight,
				   j->regress ? 0 : CLASSES },
		.weight = n.weight, .o = &o, .src = d.src, .loader = d.ld, .vsrc = d.vsrc, .vloader = d.vld,
		.train = d.train, .val = d.val, .data_hash = 1, .checkpoint = j->checkpoint,
		.resume = j->resume, .pool = pool, .note = { say, j }, .stop = j->stop,
		.progress = j->stop ? count_down : NULL };
	j->rc = onx_train(&ask, &j->r, &j->e);
	collect(j, &n);
	onx_pool_free(pool);
	close_data(&d);
	net_free(&n);
}

static void trained(struct job *j)
{
	train(j);
	must(j->rc, &j->e);
}

static double apart(const struct job *a, const struct job *b)
{
	double most = 0;
	assert_int_equal(a->n_w, b->n_w);
	for (size_t i = 0; i < a->n_w; i++)
		most = fmax(most, fabs(a->w[i] - b->w[i]));
	return most;
}

static double loss_of(const struct job *j)
{
	return onx_score_loss(&j->r.train);
}

/* --- what training is for -------------------------------------------------------------------------- */

static void loss_falls(void **state)
{
	static const struct { const char *loss; bool regress; } row[] = {
		{ "CrossEntropy", false }, { "BCEWithLogits", false }, { "MSE", true }, { "L1", true },
		{ "Huber", true } };
	(void)state;
	for (size_t i = 0; i < sizeof row / sizeof *row; i++)
		for (int deep = 0; deep < 2; deep++) {
			struct job a = { .set = { { "epochs", "1" } }, .loss = row[i].loss,
					 .regress = row[i].regress, .deep = deep };
			struct job b = a;
			b.set[0][1] = "12";
			trained(&a);
			trained(&b);
			assert_true(loss_of(&b) < 0.9 * loss_of(&a));
			assert_int_equal(b.r.epochs, 12);
			assert_int_equal(b.r.steps, 60);
		}
}

static void same_for_threads(void **state)
{
	struct job a = { .deep = true, .norm = true, .dropout = true, .threads = 1, .val = "half" }, b = a;
	(void)state;
	b.threads = 2;
	trained(&a);
	trained(&b);
	assert_true(apart(&a, &b) == 0);
	assert_true(onx_score_loss(&a.r.val) == onx_score_loss(&b.r.val));
}

static void accumulates(void **state)
{
	static const float w[CLASSES] = { 1, 0.25f, 3 };
	static const char *const loss[] = { "CrossEntropy", "BCEWithLogits" };
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct job a = { .set = { { "batch", "8" } }, .deep = true, .loss = loss[i / 2],
				 .class_weight = i % 2 ? w : NULL };
		struct job b = a;
		b.set[0][1] = "4";
		b.set[1][0] = "accumulate";
		b.set[1][1] = "2";
		trained(&a);
		trained(&b);
		assert_int_equal(a.r.steps, b.r.steps);
		assert_true(apart(&a, &b) < 1e-5);
	}
}

/* The weighted mean is one of all samples, however they are cut into batches. */
static void validation_loss(void **state)
{
	static const float w[CLASSES] = { 1, 0.25f, 3 };
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct job a = { .set = { { "batch", "40" }, { "lr", "1e-12" }, { "epochs", "1" },
					  { "keep-best", "no" } }, .val = "half", .deep = true,
				 .class_weight = i % 2 ? w : NULL };
		struct job b = a;
		b.set[0][1] = "3";
		if (i / 2) {            /* and some count for nothing */
			a.set[4][0] = b.set[4][0] = "ignore-index";
			a.set[4][1] = b.set[4][1] = "2";
		}
		trained(&a);
		trained(&b);
		assert_true(fabs(onx_score_loss(&a.r.val) - onx_score_loss(&b.r.val)) < 1e-6);
		assert_true(fabs(loss_of(&a) - loss_of(&b)) < 1e-6);
	}
}

/* A budget that the full batch does not fit in. */
static void micro_batches(void **state)
{
	struct job a = { .set = { { "batch", "32" }, { "cache", "no" } }, .deep = true }, b = a;
	char bytes[32];
	(void)state;
	trained(&a);
	snprintf(bytes, sizeof bytes, "%zu", a.r.peak_bytes - 2000);
	b.set[2][0] = "mem";
	b.set[2][1] = bytes;
	trained(&b);
	assert_non_null(strstr(b.said, "memory budget: batches are worked off"));
	assert_true(b.r.peak_bytes < a.r.peak_bytes);
	assert_true(apart(&a, &b) < 1e-5);
	b.set[2][1] = "100";
	train(&b);
	must_fail(b.rc, ONX_NOMEM, &b.e, "over the budget");
	assert_non_null(strstr(b.e.text, "one sample at a time takes"));
}

/* Parts of a batch weigh what their labels weigh; batch statistics of parts are told of. */
static void micro_weights(void **state)
{
	static const float w[CLASSES] = { 1, 0.25f, 3 };
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct job a = { .set = { { "batch", "32" }, { "cache", "no" },
					  { "ignore-index", i ? "1" : "-100" } },
				 .deep = true, .norm = i == 2, .class_weight = w }, b = a;
		char bytes[32];
		trained(&a);
		snprintf(bytes, sizeof bytes, "%zu", a.r.peak_bytes * 3 / 4);
		b.set[3][0] = "mem";
		b.set[3][1] = bytes;
		trained(&b);
		assert_non_null(strstr(b.said, "batches are worked off"));
		assert_true(b.r.peak_bytes <= a.r.peak_bytes * 3 / 4);
		assert_true((strstr(b.said, "so results differ from those of the whole batch") != NULL) == (i == 2));
		assert_true(i == 2 || apart(&a, &b) < 1e-5);
	}
}

/* --- the frozen part ------------------------------------------------------------------------------- */

static void features(void **state)
{
	struct job a = { .set = { { "cache", "no" } }, .val = "half" }, b = { .val = "half" };
	(void)state;
	trained(&a);
	trained(&b);
	assert_non_null(strstr(a.said, "computed anew each epoch"));
	assert_non_null(strstr(b.said, "computed once per sample"));
	/* Rounding may differ where a product is cut otherwise for another number of rows. */
	assert_true(apart(&a, &b) < 1e-6);
	b.set[0][0] = "cache-dir";
	b.set[0][1] = dir;
	struct job c = b;
	trained(&b);
	assert_null(strstr(b.said, "taken from the cache folder"));
	trained(&c);
	assert_non_null(strstr(c.said, "taken from the cache folder"));
	assert_true(apart(&b, &c) == 0);
	/* other samples: another key */
	c.n_train = 11;
	trained(&c);
	assert_null(strstr(c.said, "taken from the cache folder"));
}

/* --- resuming -------------------------------------------------------------------------------------- */

static void resumes_with(struct job a)
{
	char ck[300];
	struct job b = a, c = a;
	snprintf(ck, sizeof ck, "%s/ck", dir);
	trained(&a);
	/* the checkpoint of the last epoch: nothing is left to do, early stopping included */
	b.checkpoint = ck;
	trained(&b);
	assert_true(apart(&a, &b) == 0);
	c.resume = ck;
	trained(&c);
	assert_true(apart(&a, &c) == 0);
	assert_int_equal(c.r.epochs, a.r.epochs);
	assert_int_equal(c.r.best_epoch, a.r.best_epoch);
	test_folder_gone(ck);
}

static void resumes_at_the_end(void **state)
{
	(void)state;
	resumes_with((struct job){ .deep = true, .norm = true, .dropout = true });
	resumes_with((struct job){ .val = "half", .set = { { "optim", "adamw" } } });
	resumes_with((struct job){ .deep = true, .val = "half", .set = {
		{ "patience", "2" }, { "epochs", "30" }, { "lr", "0.9" }, { "optim", "adam" } } });
}

static void killed_and_resumed(void **state)
{
	char ck[300];
	(void)state;
	snprintf(ck, sizeof ck, "%s/ck2", dir);
	/* SGD, AdamW with the best kept: killed in epoch 3, resumed */
	for (int i = 0; i < 2; i++) {
		struct job a = { .deep = true, .norm = true, .dropout = true, .val = i ? "half" : NULL, .set = {
			{ "epochs", "6" }, { "optim", i ? "adamw" : "sgd" }, { "schedule", "cosine" } } };
		struct job b = a, c = a;
		trained(&a);
		b.checkpoint = ck;
		b.stop = &halt;
		halt = 0;
		left = i ? 8 : 12;
		trained(&b);
		assert_true(b.r.stopped && b.r.epochs == 2);
		assert_true(i || apart(&a, &b) > 0);       /* the best epoch may have been an early one */
		c.resume = ck;
		c.checkpoint = ck;
		trained(&c);
		assert_true(apart(&a, &c) == 0);
		/* another run's checkpoint */
		c.set[0][1] = "7";
		train(&c);
		must_fail(c.rc, ONX_USAGE, &c.e, "from another run");
		test_folder_gone(ck);
	}
}

/* --- losses by hand -------------------------------------------------------------------------------- */

/* One step over all samples with a rate of nearly 0: the loss of the net as it was made, recomputed from
 * the weights that came back. */
static double by_hand(const struct job *j, double smooth, int64_t ignore, const float *cw)
{
	const double *w0 = j->w, *b0 = w0 + FEATURES * HIDDEN, *w1 = b0 + HIDDEN, *b1 = w1 + HIDDEN * CLASSES;
	double sum = 0, by = 0;
	for (int i = 0; i < SAMPLES; i++) {
		double h[HIDDEN], z[CLASSES], total = 0;
		for (int k = 0; k < HIDDEN; k++) {
			h[k] = b0[k];
			for (int f = 0; f < FEATURES; f++)
				h[k] += X[i][f] * w0[f * HIDDEN + k];
		}
		for (int c = 0; c < CLASSES; c++) {
			z[c] = b1[c];
			for (int k = 0; k < HIDDEN; k++)
				z[c] += fmax(h[k], 0) * w1[k * CLASSES + c];
			total += exp(z[c]);
		}
		if (Y[i] == ignore)
			continue;
		by += cw ? (double)cw[Y[i]] : 1;
		for (int c = 0; c < CLASSES; c++)
			sum += ((c == Y[i] ? 1 - smooth : 0) + smooth / CLASSES) * (cw ? (double)cw[c] : 1) *
			       (log(total) - z[c]);
	}
	return sum / by;
}

static void losses(void **state)
{
	static const float w[CLASSES] = { 1, 0.25f, 3 };
	(void)state;
	for (int i = 0; i < 8; i++) {
		struct job j = { .class_weight = i & 1 ? w : NULL, .set = {
			{ "batch", "64" }, { "epochs", "1" }, { "lr", "1e-12" },
			{ "label-smoothing", i & 2 ? "0.2" : "0" }, { "ignore-index", i & 4 ? "1" : "-100" } } };
		trained(&j);
		const double want = by_hand(&j, i & 2 ? 0.2 : 0, i & 4 ? 1 : -100, j.class_weight);
		assert_true(fabs(loss_of(&j) - want) < 1e-5);
	}
}

/* Ignored labels do not count, even where a whole batch of them comes. */
static void ignores(void **state)
{
	struct job a = { .set = { { "ignore-index", "1" }, { "batch", "1" }, { "shuffle", "no" } }, .val = "half" };
	(void)state;
	trained(&a);
	assert_true(isfinite(loss_of(&a)) && isfinite(onx_score_loss(&a.r.val)));
	for (size_t i = 0; i < a.n_w; i++)
		assert_true(isfinite(a.w[i]));
	assert_true(a.r.train.n < SAMPLES / 2 && a.r.train.n > 0);
}

/* --- what goes wrong ------------------------------------------------------------------------------- */

static void faults(void **state)
{
	struct job a = { .nan = true }, b = { .nan = false };
	struct job before = { .set = { { "epochs", "1" }, { "lr", "1e-30" } } };
	(void)state;
	trained(&before);
	train(&a);
	must_fail(a.rc, ONX_NUMERIC, &a.e, "the loss became NaN at step");
	assert_true(apart(&a, &before) == 0);           /* nothing was written */
	b.no_samples = true;
	train(&b);
	must_fail(b.rc, ONX_USAGE, &b.e, "no sample to train on");
	b = (struct job){ .regress = true, .loss = "MSE", .val = "t2.npy" };
	train(&b);
	must_fail(b.rc, ONX_USAGE, &b.e, "2 target columns, the training data 3");
}

static void stops(void **state)
{
	struct job a = { .deep = true, .stop = &halt };
	(void)state;
	halt = 1;
	trained(&a);
	assert_true(a.r.stopped && a.r.steps == 0);
	halt = 0;
}

static void other_validation(void **state)
{
	struct job a = { .val = "y2.npy", .set = { { "epochs", "4" } } };
	(void)state;
	trained(&a);
	assert_int_equal(a.r.val.n, SAMPLES / 2);
	assert_int_equal(a.r.train.n, SAMPLES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loss_falls), cmocka_unit_test(same_for_threads),
		cmocka_unit_test(accumulates), cmocka_unit_test(validation_loss),
		cmocka_unit_test(micro_batches), cmocka_unit_test(micro_weights),
		cmocka_unit_test(features),
		cmocka_unit_test(resumes_at_the_end), cmocka_unit_test(killed_and_resumed),
		cmocka_unit_test(losses), cmocka_unit_test(ignores), cmocka_unit_test(faults),
		cmocka_unit_test(stops), cmocka_unit_test(other_validation) };
	return cmocka_run_group_tests_name(__FILE__, tests, files, gone);
}
