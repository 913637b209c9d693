/* Update rules and schedules on numbers that can be worked out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "train/optim.h"
#include "train/sched.h"

/* A parameter block without a graph: two weights of four numbers, the second of rank 1. */
struct fixture {
	struct onx_arena arena;
	struct onx_train_opts o;
	struct onx_graph g;
	struct onx_value value[2];
	struct onx_weight weight[2];
	struct onx_params p;
	size_t at[2];
	uint32_t list[2];
	float w[32], grad[32];
	bool trains[2];
};

static void fixture_init(struct fixture *f, const char *const *options)
{
	struct onx_err e = { 0 };
	memset(f, 0, sizeof *f);
	assert_int_equal(onx_defaults(&onx_train_table, &f->o, &f->arena, &e), 0);
	for (; options[0]; options += 2)
		assert_int_equal(onx_set(&onx_train_table, onx_find(&onx_train_table, options[0]), &f->o,
					 options[1], &f->arena, &e), 0);
	for (int i = 0; i < 2; i++) {
		f->weight[i] = (struct onx_weight){ .name = "w", .type = ONX_FLOAT, .rank = 2 - i, .n = 4 };
		f->value[i].init = &f->weight[i];
		f->at[i] = 16 * (size_t)i;
		f->list[i] = (uint32_t)i;
		f->trains[i] = true;
		for (int k = 0; k < 4; k++) {
			f->w[16 * i + k] = 8;
			f->grad[16 * i + k] = 2;
		}
	}
	f->g.value = f->value;
	f->g.n_value = 2;
	f->p = (struct onx_params){ .graph = &f->g, .n = 32, .at = f->at, .value = f->list, .n_value = 2,
				    .weight = f->w, .grad = f->grad };
}

static void steps(struct fixture *f, double lr, int n)
{
	struct onx_optim x;
	struct onx_err e = { 0 };
	assert_int_equal(onx_optim_init(&x, &f->o, &f->p, f->trains, &e), 0);
	for (int i = 0; i < n; i++)
		onx_optim_step(&x, lr, NULL);
	onx_optim_release(&x);
	onx_arena_release(&f->arena);
}

static void sgd_is_exact(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, (const char *[]){ "optim", "sgd", "momentum", "0", NULL });
	steps(&f, 1, 2);
	assert_true(f.w[0] == 4 && f.w[16] == 4);
}

/* b1 = 2, w = 6; b2 = 0.5*2 + 2 = 3, w = 3. */
static void momentum_starts_with_the_gradient(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, (const char *[]){ "optim", "sgd", "momentum", "0.5", NULL });
	steps(&f, 1, 2);
	assert_true(f.w[0] == 3);
}

/* Nesterov: 2 + 0.5*2 = 3, w = 5; b = 3, 2 + 1.5 = 3.5, w = 1.5. */
static void nesterov_looks_ahead(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, (const char *[]){ "optim", "sgd", "momentum", "0.5", "nesterov", "yes", NULL });
	steps(&f, 1, 2);
	assert_true(f.w[0] == 1.5f);
}

/* Decay 0.5 on rank 2 only: g = 2 + 4 = 6, w = 2; the bias goes to 6. */
static void decay_spares_biases(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, (const char *[]){ "optim", "sgd", "momentum", "0", "weight-decay", "0.5", NULL });
	steps(&f, 1, 1);
	assert_true(f.w[0] == 2 && f.w[16] == 6);
	fixture_init(&f, (const char *[]){ "optim", "sgd", "momentum", "0", "weight-decay", "0.5",
					   "decay-all", "yes", NULL });
	steps(&f, 1, 1);
	assert_true(f.w[16] == 2);
}

/* With eps 0 and one gradient, Adam's first steps are of size lr exactly. */
static void adam_steps_by_lr(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, (const char *[]){ "optim", "adam", "eps", "0", NULL });
	steps(&f, 1, 3);
	assert_true(fabsf(f.w[0] - 5) < 1e-5f);
	fixture_init(&f, (const char *[]){ "optim", "adamw", "eps", "0", "weight-decay", "0.5", NULL });
	steps(&f, 1, 1);
	assert_true(fabsf(f.w[0] - 3) < 1e-5f && fabsf(f.w[16] - 7) < 1e-5f);
}

/* The gradient's norm is 2*sqrt(8); clipped to 1 each element is 1/sqrt(8). */
static void clip_scales_the_whole_gradient(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, (const char *[]){ "optim", "sgd", "momentum", "0", "clip", "1", NULL });
	steps(&f, 1, 1);
	assert_true(fabs(f.w[0] - (8 - 1 / sqrt(8))) < 1e-5);
}

static void frozen_weights_stay(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, (const char *[]){ "optim", "adamw", NULL });
	f.trains[1] = false;
	steps(&f, 1, 3);
	assert_true(f.w[16] == 8 && f.w[0] != 8);
}

static double rate(const char *const *options, uint64_t step)
{
	struct onx_train_opts o;
	struct onx_arena a = { 0 };
	struct onx_err e = { 0 };
	assert_int_equal(onx_defaults(&onx_train_table, &o, &a, &e), 0);
	for (; options[0]; options += 2)
		assert_int_equal(onx_set(&onx_train_table, onx_find(&onx_train_table, options[0]), &o,
					 options[1], &a, &e), 0);
	const double r = onx_rate(&o, 1, step, 100, 10);
	onx_arena_release(&a);
	return r;
}

static void schedules(void **state)
{
	(void)state;
	assert_true(rate((const char *[]){ "schedule", "constant", NULL }, 57) == 1);
	assert_true(fabs(rate((const char *[]){ "schedule", "step", "step-epochs", "3", NULL }, 60) - 0.01)
		    < 1e-12);
	assert_true(fabs(rate((const char *[]){ "schedule", "cosine", NULL }, 50) - 0.5) < 1e-12);
	assert_true(fabs(rate((const char *[]){ "schedule", "cosine", "min-lr", "0.2", NULL }, 100) - 0.2)
		    < 1e-12);
	assert_true(fabs(rate((const char *[]){ "schedule", "onecycle", NULL }, 0) - 0.04) < 1e-12);
	assert_true(fabs(rate((const char *[]){ "schedule", "onecycle", NULL }, 29) - 1) < 1e-12);
	assert_true(fabs(rate((const char *[]){ "schedule", "onecycle", NULL }, 99) - 4e-6) < 1e-12);
	/* one epoch of warm-up: ten steps up to the peak */
	const char *const warm[] = { "schedule", "constant", "warmup", "1", NULL };
	for (uint64_t i = 1; i < 10; i++)
		assert_true(rate(warm, i) > rate(warm, i - 1) && rate(warm, i) < 1);
	assert_true(rate(warm, 10) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sgd_is_exact), cmocka_unit_test(momentum_starts_with_the_gradient),
		cmocka_unit_test(nesterov_looks_ahead), cmocka_unit_test(decay_spares_biases),
		cmocka_unit_test(adam_steps_by_lr), cmocka_unit_test(clip_scales_the_whole_gradient),
		cmocka_unit_test(frozen_weights_stay), cmocka_unit_test(schedules) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
