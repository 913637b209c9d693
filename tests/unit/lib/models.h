/* models.h -- the models that tests look at: files of ../shared/models, and small ones built here. */
#ifndef TEST_MODELS_H
#define TEST_MODELS_H
#include "unit/unit.h"
#include <unistd.h>
#include "graph/graph.h"

#define SHARED "../shared/models/"

/* NULL (and a line) where the file is not at hand. */
static inline struct onx_model *shared_model(const char *file)
{
	char path[256];
	struct onx_model *m = NULL;
	struct onx_err e = { 0 };
	snprintf(path, sizeof path, SHARED "%s", file);
	if (access(path, R_OK) != 0) {
		print_message("skipped: %s is not there\n", path);
		return NULL;
	}
	must(onx_model_read(path, &m, &e), &e);
	return m;
}

static inline struct onx_graph *built(struct onx_model *m)
{
	struct onx_graph *g = NULL;
	struct onx_err e = { 0 };
	must(onx_graph_build(m, 0, &g, &e), &e);
	return g;
}

/* The model after writing and reading. */
static inline struct onx_model *round_trip(struct onx_model *m)
{
	struct onx_buf b = { 0 };
	struct onx_model *n = NULL;
	struct onx_err e = { 0 };
	must(onx_model_bytes(m, &b, &e), &e);
	must(onx_model_parse(b.data, b.len, NULL, &n, &e), &e);
	onx_buf_release(&b);
	return n;
}

/* How many initializers of `a` are in `b` with the same bytes (n_same), or under a name of their own there
 * with others (n_differ). */
static inline void compare_inits(const struct onx_model *a, const struct onx_model *b, size_t *n_same,
				 size_t *n_differ)
{
	const struct onx_file_graph *x = onx_model_graph(a), *y = onx_model_graph(b);
	*n_same = *n_differ = 0;
	for (size_t i = 0; i < x->n_init; i++)
		for (size_t k = 0; k < y->n_init; k++) {
			const struct onx_weight *p = x->init[i], *q = y->init[k];
			if (strcmp(p->name, q->name) != 0)
				continue;
			const size_t bytes = p->n * (size_t)onx_dtype_bits(p->type) / 8;
			const bool same = p->type == q->type && p->n == q->n && (!p->raw) == (!q->raw) &&
					  (!p->raw || memcmp(p->raw, q->raw, bytes) == 0);
			*n_same += same;
			*n_differ += !same;
		}
}

#endif
