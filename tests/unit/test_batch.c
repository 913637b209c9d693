/* Batches: the same bits for any number of workers, faults in their place, bad pictures, splits. */
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "unit.h"
#include "lib/pictures.h"
#include "base/rng.h"
#include "data/batch.h"

enum { CLASSES = 3, EACH = 7, N = CLASSES * EACH, SIDE = 16 };

struct bench {
	char dir[256], path[600];
	struct onx_arena arena;
	struct onx_source_opts so;
	struct onx_preset_opts po;
	struct onx_augment g;
	struct onx_preset p;
	struct onx_data_want want;
	int64_t dim[4];
	struct onx_source *src;
	struct onx_err e;
};

static void make_folder(struct bench *b)
{
	uint8_t px[40 * 30 * 3];

	for (int c = 0; c < CLASSES; c++) {
		snprintf(b->path, sizeof(b->path), "%s/class%d", b->dir, c);
		assert_int_equal(mkdir(b->path, 0777), 0);
		for (int i = 0; i < EACH; i++) {
			test_pixels(px, 40, 30, 3, c * EACH + i);
			snprintf(b->path, sizeof(b->path), "%s/class%d/%02d.%s", b->dir, c, i,
				 i % 2 ? "png" : "jpg");
			if (i % 2)
				test_png(b->path, px, 40, 30, 3);
			else
				test_jpeg(b->path, px, 40, 30, 3, false, i == 2 ? 6 : 0);
		}
	}
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	int64_t dim[4] = { -1, 3, SIDE, SIDE };

	*state = b;
	test_folder(b->dir, sizeof(b->dir));
	make_folder(b);
	memcpy(b->dim, dim, sizeof(dim));
	b->want = (struct onx_data_want){ "x", ONX_FLOAT, 4, b->dim };
	must(onx_defaults(&onx_source_table, &b->so, &b->arena, &b->e), &b->e);
	must(onx_defaults(&onx_preset_table, &b->po, &b->arena, &b->e), &b->e);
	must(onx_defaults(&onx_augment_table, &b->g, &b->arena, &b->e), &b->e);
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	onx_source_free(b->src);
	onx_arena_release(&b->arena);
	test_folder_gone(b->dir);
	free(b);
	return 0;
}

static void open_source(struct bench *b)
{
	struct onx_source_ask ask = { .opts = &b->so, .want = &b->want, .n_want = 1 };

	onx_source_free(b->src);
	b->src = NULL;
	must(onx_source_open(b->dir, &ask, &b->src, &b->e), &b->e);
	must(onx_preset_resolve(&b->po, NULL, &b->want, b->src, &b->arena, &b->p, &b->e), &b->e);
}

static struct onx_loader *loader(struct bench *b, int workers, int64_t cache)
{
	struct onx_loader_opts o = { .want = &b->want, .n_want = 1, .preset = &b->p, .augment = &b->g,
				     .batch = 4, .workers = workers, .cache = cache, .seed = 5 };
	struct onx_loader *l;

	must(onx_loader_new(b->src, &o, &l, &b->e), &b->e);
	return l;
}

/* Hash of two epochs, the first shuffled with augmentation, the second plain. */
static uint64_t hash_of(struct bench *b, int workers, int64_t cache)
{
	struct onx_loader *l = loader(b, workers, cache);
	const struct onx_batch *t;
	struct onx_list all;
	uint32_t order[N];
	uint64_t h = 0;
	size_t n = 0;

	must(onx_list_all(b->src, &b->arena, &all, &b->e), &b->e);
	for (uint64_t epoch = 0; epoch < 3; epoch++) {
		onx_shuffle(&all, 9, epoch, order);
		onx_loader_augment(l, epoch < 2 ? &b->g : NULL);
		must(onx_loader_start(l, order, N, epoch, &b->e), &b->e);
		for (n = 0;; n += t->n) {
			must(onx_loader_next(l, &t, &b->e), &b->e);
			if (!t)
				break;
			assert_int_equal(t->first, n);
			assert_int_equal(t->n, N - n < 4 ? N - n : 4);
			assert_int_equal(t->input[0].dim[0], t->n);
			assert_int_equal(t->input[0].n, t->n * 3 * SIDE * SIDE);
			for (size_t i = 0; i < t->n; i++)
				assert_int_equal(((int64_t *)t->y.v)[i], order[n + i] / EACH);
			h = onx_hash(t->input[0].v, t->input[0].n * 4, h);
			h = onx_hash(t->y.v, t->y.n * 8, h);
		}
		assert_int_equal(n, N);
	}
	onx_loader_free(l);
	return h;
}

static void test_same_bits(void **state)
{
	struct bench *b = *state;
	uint64_t h;

	open_source(b);
	assert_string_equal(b->src->class_name[2], "class2");
	b->g.augment = b->g.crop = true;
	b->g.rotate = 10;
	b->g.brightness = b->g.contrast = b->g.saturation = 0.3;
	b->g.erase = 0.5;
	h = hash_of(b, 1, -1);
	assert_true(h == hash_of(b, 3, -1));
	assert_true(h == hash_of(b, 2, 0));     /* nothing kept      */
	assert_true(h == hash_of(b, 2, 3000));  /* kept in part      */
	b->g.erase = 0;
	assert_true(h != hash_of(b, 2, -1));
}

static void test_stop(void **state)
{
	struct bench *b = *state;
	const struct onx_batch *t;
	struct onx_loader *l;
	uint32_t order[N];

	open_source(b);
	l = loader(b, 2, 0);
	for (uint32_t i = 0; i < N; i++)
		order[i] = N - 1 - i;
	for (int k = 0; k < 20; k++) {
		must(onx_loader_start(l, order, N, 0, &b->e), &b->e);
		for (int i = 0; i < k % 3; i++)
			must(onx_loader_next(l, &t, &b->e), &b->e);
		if (k % 2)
			onx_loader_stop(l);
	}
	must(onx_loader_start(l, order, N, 0, &b->e), &b->e);
	onx_loader_free(l);
}

static void spoil(struct bench *b)
{
	snprintf(b->path, sizeof(b->path), "%s/class1/03.png", b->dir);
	test_file(b->path, "this is no picture", 18);
	snprintf(b->path, sizeof(b->path), "%s/class1/04.jpg", b->dir);
	test_file(b->path, "\xff\xd8\xff\xe0", 4);
}

static void test_bad(void **state)
{
	struct bench *b = *state;
	struct onx_loader_opts o = { .want = &b->want, .n_want = 1, .preset = &b->p, .batch = 4,
				     .cache = -1 };
	const struct onx_batch *t;
	struct onx_loader *l;
	uint32_t order[N];
	int rc = ONX_OK;

	spoil(b);
	open_source(b);
	must_fail(onx_loader_new(b->src, &o, &l, &b->e), ONX_FORMAT, &b->e, "class1/03.png");
	/* Nothing kept, nothing looked at before: the fault comes with its batch (10 is in the third). */
	o.cache = 0;
	must(onx_loader_new(b->src, &o, &l, &b->e), &b->e);
	for (uint32_t i = 0; i < N; i++)
		order[i] = i;
	must(onx_loader_start(l, order, N, 0, &b->e), &b->e);
	must(onx_loader_next(l, &t, &b->e), &b->e);
	must(onx_loader_next(l, &t, &b->e), &b->e);
	rc = onx_loader_next(l, &t, &b->e);
	must_fail(rc, ONX_FORMAT, &b->e, "class1/03.png");
	onx_loader_free(l);
	b->so.skip_bad = true;
	open_source(b);
	must(onx_loader_new(b->src, &o, &l, &b->e), &b->e);
	assert_int_equal(b->src->n, N - 2);
	assert_int_equal(b->src->n_bad, 2);
	assert_int_equal(b->src->label[10], 1);
	assert_non_null(strstr(onx_source_path(b->src, 10), "class1/05.png"));
	assert_non_null(strstr(onx_source_path(b->src, 12), "class2/00.jpg"));
	onx_loader_free(l);
}

static void test_split(void **state)
{
	struct bench *b = *state;
	struct onx_list train, val, again, rest;
	size_t count[CLASSES];
	bool seen[N] = { false };

	open_source(b);
	must(onx_split(b->src, 0.3, 1, &b->arena, &train, &val, &b->e), &b->e);
	assert_int_equal(val.n, 6);
	onx_class_counts(b->src, &val, count);
	for (int c = 0; c < CLASSES; c++)
		assert_int_equal(count[c], 2);
	for (size_t i = 0; i < train.n; i++)
		seen[train.v[i]] = true;
	for (size_t i = 0; i < val.n; i++) {
		assert_false(seen[val.v[i]]);
		seen[val.v[i]] = true;
	}
	for (int i = 0; i < N; i++)
		assert_true(seen[i]);
	must(onx_split(b->src, 0.3, 1, &b->arena, &rest, &again, &b->e), &b->e);
	assert_memory_equal(again.v, val.v, val.n * sizeof(*val.v));
	must(onx_split(b->src, 0.3, 2, &b->arena, &rest, &again, &b->e), &b->e);
	assert_memory_not_equal(again.v, val.v, val.n * sizeof(*val.v));
	must_fail(onx_split(b->src, 0.01, 1, &b->arena, &rest, &again, &b->e), ONX_USAGE, &b->e,
		  "0 to validate");
	must_fail(onx_split(b->src, 1.5, 1, &b->arena, &rest, &again, &b->e), ONX_USAGE, &b->e, "1.5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_split, setup, teardown),
	};
	return RUN(tests);
}
