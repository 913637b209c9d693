/* fault/mutants.c -- whole models with a few of their words, numbers, wires, attributes and lines changed at random
 * (lib/sketch.h): each is read, written, planned, run, computed without a plan, looked at before training and trained
 * for a step.  Whatever comes of it is a result or a fault of one line with a status of the contract; never a crash, a
 * loop without end, or a fault of the operating system.
 * ONX_MUTANTS: how many, or FIRST+MANY; what fails is printed with its number.  Without it, as many as a few seconds
 * allow. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/pool.h"
#include "fault/lib/sketch.h"
#include "rewrite/loss.h"
#include "tensor/seq.h"
#include "train/loop.h"

static const char *const seeds[] = {
#include "fault/lib/seeds.inc"
};
enum { N_SEEDS = sizeof seeds / sizeof *seeds };
enum { USUAL = 20000, SECONDS = 10, BATCH = 3, CHUNK = 100, EACH = 100 };
static const double most_bytes = 64e6, most_macs = 2e7;        /* what is planned and larger than this is not run */
enum stage { READ, WRITE, PLAN, RUN, NODES, CHECK, TRAIN, STAGES };
static const char *const stages[] = { "read", "written", "planned", "run", "computed by node", "checked", "trained" };
static bool alone;                      /* a single one is asked for: all is told of it */
/* What the children tell. */
static struct told { int mutant, stage; int done[STAGES]; } *told;

/* A result, or a fault that is whole.  Exits the child otherwise. */
static bool good(int rc, const struct onx_err *e, enum stage stage)
{
	told->stage = stage;
	if (rc == ONX_OK) {
		told->done[stage]++;
		return true;
	}
	const bool known = rc == ONX_NO || rc == ONX_USAGE || rc == ONX_FORMAT || rc == ONX_UNSUP || rc == ONX_SHAPE ||
			   rc == ONX_NOMEM || rc == ONX_NUMERIC;
	if (alone)
		printf("# %s: %s\n", stages[stage], e->text);
	if (known && e->code == rc && e->text[0] && !strpbrk(e->text, "\n\r\t"))
		return false;
	printf("# fault %d (code %d), not one of the contract, or no line: '%s'\n", rc, e->code, e->text);
	fflush(stdout);
	_exit(3);
}

static void fill(const struct onx_view *v, uint64_t seed)
{
	struct onx_rng r;

	onx_rng_init(&r, seed, ONX_RNG_TEST, 0, 0);
	for (size_t i = 0; i < v->n; i++)
		if (v->type == ONX_STRING)
			((const char **)v->v)[i] = "";
		else if (onx_dtype_real(v->type))
			onx_view_put_real(v, i, onx_rng_range(&r, -1, 1));
		else if (onx_dtype_class(v->type) != ONX_CLASS_CPLX)
			onx_view_put_int(v, i, (int64_t)i % 3);
}

/* All inputs with numbers in memory form; false: too many of them. */
static bool fed(struct onx_graph *g, struct onx_arena *a, struct onx_feed **feed, uint32_t *n)
{
	struct onx_err e = { 0 };
	double all = 0;
	int rc = onx_bind_inputs(g, BATCH, 0, true, a, feed, n, &e);

	if (!good(rc, &e, PLAN))
		return false;
	for (uint32_t i = 0; i < *n; i++) {
		double bytes = 8;
		for (int d = 0; d < (*feed)[i].shape.rank; d++)
			bytes *= (double)(*feed)[i].shape.dim[d];
		all += bytes < 0 ? most_bytes : bytes;
	}
	for (uint32_t i = 0; i < *n && all < most_bytes; i++) {
		const struct onx_shape *s = &(*feed)[i].shape;
		struct onx_view *v = onx_tensor_new(a, (*feed)[i].type, s->rank, s->dim,
						    onx_dtype_store((*feed)[i].type, false));
		if (!v)
			return false;
		fill(v, i);
		(*feed)[i].known = v;
	}
	return all < most_bytes;
}

static void run(const struct onx_plan *p, const struct onx_feed *feed, uint32_t n, struct onx_pool *pool)
{
	struct onx_block_mem block = { 0 };
	struct onx_exec *x = NULL;
	struct onx_err e = { 0 };

	if (good(onx_exec_new(p, NULL, &block, pool, &x, &e), &e, RUN)) {
		for (uint32_t i = 0; i < n; i++)
			onx_exec_feed(x, feed[i].value, feed[i].known->v);
		onx_exec_forward(x, 1, 0);
	}
	onx_exec_free(x);
	onx_block_release(&block);
}

/* Planned and run; without a plan where there is none. */
static void forward(struct onx_graph *g, struct onx_pool *pool, struct onx_arena *a)
{
	struct onx_feed *feed, *open;
	struct onx_facts *f = NULL;
	struct onx_plan *p = NULL;
	struct onx_consts consts;
	struct onx_err e = { 0 };
	uint32_t n;

	if (!fed(g, a, &feed, &n) || !(open = ONX_NEWS(a, struct onx_feed, n + 1)))
		return;
	if (n)
		memcpy(open, feed, n * sizeof *open);
	for (uint32_t i = 0; i < n; i++)
		open[i].known = NULL;
	onx_consts_init(&consts, g);
	struct onx_plan_want w = { .facts = { .feed = open, .n_feed = n }, .loss = ONX_NONE,
				   .threads = onx_pool_threads(pool) };
	const bool planned = good(onx_plan_make(g, &consts, &w, &p, &e), &e, PLAN);
	const bool small = planned && (double)p->bytes < most_bytes && p->macs < most_macs;
	if (small)
		run(p, feed, n, pool);
	onx_plan_free(p);
	if (small || !planned) {
		const struct onx_facts_want all = { .feed = feed, .n_feed = n, .evaluate = true };
		e = (struct onx_err){ 0 };
		(void)good(onx_facts_make(g, &consts, &all, &f, &e), &e, NODES);
		onx_facts_free(f);
	}
	onx_consts_release(&consts);
}

/* A step on made-up numbers, of everything that may train. */
static void train(struct onx_graph *g, struct onx_pool *pool, struct onx_arena *a)
{
	const struct onx_loss_opts lo = { .type = "MSE" };
	struct onx_train_ask ask = { .pool = pool, .g = g };
	struct onx_train_opts *o = ONX_NEW(a, struct onx_train_opts);
	struct onx_block *block;
	struct onx_loss made;
	struct onx_feed *feed;
	struct onx_err e = { 0 };
	double seconds[1];
	struct onx_bench b = { .steps = 1, .seconds = seconds };
	uint32_t n = 0, logits, behind;
	bool *weight;

	if (!o || !good(onx_graph_weights(g, a, &weight, &e), &e, CHECK) || !fed(g, a, &feed, &n) ||
	    !good(onx_loss_logits(g, &logits, &behind, &e), &e, CHECK))
		return;
	uint32_t n_block = 0;
	if (!good(onx_plan_blocks(g, weight, &logits, 1, a, &block, &n_block, &e), &e, CHECK) ||
	    !good(onx_defaults(&onx_train_table, o, a, &e), &e, CHECK) ||
	    !good(onx_loss_append(g, logits, &lo, &made, NULL, &e), &e, CHECK))
		return;
	o->mem = (int64_t)most_bytes;
	ask.o = o;
	for (uint32_t i = 0; i < n; i++)
		feed[i].known = NULL;
	bool *trains = ONX_NEWS(a, bool, g->n_value + 1);
	if (!trains)
		return;
	for (uint32_t v = 0; v < g->n_value; v++)       /* the loss added some */
		trains[v] = g->value[v].init && v < made.loss && weight[v] && onx_dtype_real(g->value[v].init->type);
	ask.weight = trains;
	ask.obj = (struct onx_objective){ .loss = made.loss, .target = made.target, .logits = made.logits,
					  .input = g->input, .n_input = n };
	(void)good(onx_train_bench(&ask, feed, n, &b, &e), &e, TRAIN);
}

static void whole(const struct sketch *s, struct onx_pool *pool)
{
	struct onx_buf file = { 0 }, again = { 0 };
	struct onx_arena a = { 0 };
	struct onx_model *m = NULL;
	struct onx_graph *g = NULL;
	struct onx_err e = { 0 };

	if (!sketch_bytes(s, &file))
		_exit(4);
	if (good(onx_model_parse(file.data, file.len, NULL, &m, &e), &e, READ) &&
	    good(onx_graph_build(m, 0, &g, &e), &e, READ)) {
		forward(g, pool, &a);
		onx_arena_release(&a);
		train(g, pool, &a);
		if (good(onx_graph_export(g, &e), &e, WRITE))
			(void)good(onx_model_bytes(m, &again, &e), &e, WRITE);
	}
	onx_graph_free(g);
	onx_model_free(m);
	onx_buf_release(&file);
	onx_buf_release(&again);
	onx_arena_release(&a);
}

/* Number `k` is the same model every time; the first are the seeds as they are. */
static void mutant(int k, struct sketch *s)
{
	struct sketch other;
	struct onx_rng r;

	onx_rng_init(&r, 11, ONX_RNG_TEST, (uint64_t)k, 0);
	sketch_read(s, seeds[k % N_SEEDS]);
	for (uint32_t i = k < N_SEEDS ? 0 : 1 + onx_rng_below(&r, 3); i > 0; i--) {
		sketch_read(&other, seeds[onx_rng_below(&r, N_SEEDS)]);
		sketch_change(s, &other, &r);
	}
}

static void limits(void)
{
#ifndef __SANITIZE_ADDRESS__
	const struct rlimit memory = { (rlim_t)1 << 30, (rlim_t)1 << 30 };

	if (setrlimit(RLIMIT_AS, &memory) < 0)
		_exit(4);
#endif
}

static void child(int from, int to)
{
	struct onx_pool *pool = NULL;
	struct onx_err e = { 0 };
	struct sketch s;

	limits();
	if (onx_pool_new(2, &pool, &e) < 0)
		_exit(4);
	for (int k = from; k < to; k++) {
		told->mutant = k;
		alarm(EACH);
		mutant(k, &s);
		whole(&s, pool);
	}
	onx_pool_free(pool);
	exit(0);                                /* so that leaks are looked for */
}

/* false: the child did not end well; then what it was at is told. */
static bool chunk(int from, int to)
{
	struct sketch s;
	int status = 0;

	fflush(stdout);
	const pid_t pid = fork();

	if (pid == 0)
		child(from, to);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return false;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	mutant(told->mutant, &s);
	sketch_print(&s);
	printf("not ok - mutant %d, when it was to be %s: %s %d\n", told->mutant, stages[told->stage],
	       WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	fflush(stdout);
	return false;
}

/* Or the test would test nothing. */
static bool seeds_are_right(void)
{
	const int *n = told->done;

	if (n[READ] == 2 * N_SEEDS && n[RUN] >= N_SEEDS / 2 && n[NODES] >= N_SEEDS - 3 && n[TRAIN] >= N_SEEDS / 2)
		return true;
	printf("not ok - of %d seeds %d are read, %d run, %d computed by node, %d trained\n", N_SEEDS, n[READ] / 2,
	       n[RUN], n[NODES], n[TRAIN]);
	return false;
}

int main(void)
{
	const char *n = getenv("ONX_MUTANTS"), *plus = n ? strchr(n, '+') : NULL;
	const int first = plus ? (int)strtol(n, NULL, 10) : 0;
	const int many = n ? (int)strtol(plus ? plus + 1 : n, NULL, 10) : USUAL;
	const time_t began = time(NULL);

	alone = many == 1;
	int bad = 0, k = first;

	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return 1;
	while (k < first + many && (n || time(NULL) - began < SECONDS)) {
		const int end = k < N_SEEDS ? N_SEEDS : k + CHUNK, to = end < first + many ? end : first + many;
		const bool fine = chunk(k, to);
		bad += !fine;
		if (k == 0 && fine && to == N_SEEDS && !seeds_are_right())
			bad++;
		k = fine ? to : told->mutant + 1;
	}
	printf("# %d mutants:", k - first);
	for (int i = 0; i < STAGES; i++)
		printf(" %d %s%s", told->done[i], stages[i], i + 1 < STAGES ? "," : "\n");
	printf("%s - changed models\n", bad ? "not ok" : "ok");
	return bad != 0;
}
