/* How fast pictures are read: decode, fit, formula.
 *
 * usage: pictures FOLDER SIDE ROUNDS [squash]    FOLDER has one sub-folder a class
 *
 * One thread, preset imagenet, an input of 3 x SIDE x SIDE floats.  Seconds are processor time of the
 * thread, so that whoever else is on the machine does not count; each round reads everything and
 * the fastest counts.  Prints one line of JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/arena.h"
#include "data/preset.h"
#include "data/source.h"

struct times { double decode, fit, formula; };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int one(const struct onx_preset *p, const char *path, const struct onx_view *v, struct times *t,
	       struct onx_err *e)
{
	const struct onx_decode how = onx_preset_decode(p, 1);
	struct onx_image raw, fitted;
	double since = now(), then;
	int rc = onx_image_read(path, &how, &raw, e);

	if (rc < 0)
		return rc;
	then = now();
	t->decode += then - since;
	rc = onx_preset_fit(p, &raw, &fitted, e);
	onx_image_release(&raw);
	if (rc < 0)
		return rc;
	since = now();
	t->fit += since - then;
	onx_preset_pixels(p, &fitted, v);
	t->formula += now() - since;
	onx_image_release(&fitted);
	return ONX_OK;
}

static int all(const struct onx_preset *p, const struct onx_source *s, const struct onx_view *v,
	       struct times *best, struct onx_err *e)
{
	struct times t = { 0 };
	int rc = ONX_OK;

	for (size_t i = 0; rc == ONX_OK && i < s->n; i++)
		rc = one(p, onx_source_path(s, i), v, &t, e);
	if (t.decode + t.fit + t.formula < best->decode + best->fit + best->formula)
		*best = t;
	return rc;
}

int main(int argc, char **argv)
{
	struct onx_err e = { 0 };
	struct onx_arena a = { 0 };
	struct onx_preset p;
	struct onx_source *s = NULL;
	struct times best = { 1e9, 0, 0 };
	int rc, rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
	const int64_t side = argc > 3 ? strtol(argv[2], NULL, 10) : 0, dim[] = { -1, 3, side, side };
	const struct onx_data_want want = { "x", ONX_FLOAT, 4, dim };
	struct onx_preset_opts po;
	struct onx_source_opts so;
	struct onx_view v = { .n = (size_t)(3 * side * side), .rank = 3, .dim = dim + 1, .type = ONX_FLOAT,
			      .width = 4 };
	const struct onx_source_ask ask = { .opts = &so, .want = &want, .n_want = 1 };

	if (rounds < 1 || side < 1 || side > 4096) {
		fprintf(stderr, "usage: pictures FOLDER SIDE ROUNDS [squash]\n");
		return 2;
	}
	v.v = onx_heap(v.n, sizeof(float));
	rc = v.v ? onx_defaults(&onx_preset_table, &po, &a, &e) : onx_nomem(&e, 4.0 * (double)v.n, "a picture");
	if (rc == ONX_OK)
		rc = onx_defaults(&onx_source_table, &so, &a, &e);
	if (argc > 4 && strcmp(argv[4], "squash") == 0)
		po.fit = ONX_FIT_SQUASH;
	if (rc == ONX_OK)
		rc = onx_source_open(argv[1], &ask, &s, &e);
	if (rc == ONX_OK)
		rc = onx_preset_resolve(&po, NULL, &want, s, &a, &p, &e);
	for (int i = 0; rc == ONX_OK && i < rounds; i++)
		rc = all(&p, s, &v, &best, &e);
	if (rc == ONX_OK)
		printf("{\"pictures\": %zu, \"per_s\": %.1f, \"decode_ms\": %.3f, \"fit_ms\": %.3f, "
		       "\"formula_ms\": %.3f}\n", s->n,
		       (double)s->n / (best.decode + best.fit + best.formula), best.decode / (double)s->n * 1e3,
		       best.fit / (double)s->n * 1e3, best.formula / (double)s->n * 1e3);
	else
		fprintf(stderr, "pictures: %s\n", e.text);
	onx_source_free(s);
	onx_heap_free(v.v);
	onx_arena_release(&a);
	return onx_exit_status(rc);
}
