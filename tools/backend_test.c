/* tools/backend_test.c -- see backend_test.h. */
#include "backend_test.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/io.h"
#include "base/names.h"
#include "graph/facts.h"
#include "model/weight.h"
#include "tensor/seq.h"

enum { DEPTH = 8, LIST_LIMIT = 1 << 22, FEEDS = 256 };

struct run {
	struct onx_arena mem;           /* of the whole run            */
	struct onx_names listed;
	bool has_list;
	struct onx_pool *pool;
	FILE *out;
	size_t passed, failed, skipped;
};

static bool is_there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The folders in a folder, sorted. */
static int folders(struct onx_arena *a, const char *dir, const char ***out, size_t *n, struct onx_err *e)
{
	enum { MOST = 1 << 14 };
	const char **list = ONX_NEWS(a, const char *, MOST);
	DIR *d = opendir(dir);
	struct dirent *entry;
	struct stat st;

	*out = list;
	*n = 0;
	if (!d)
		return onx_fail(e, ONX_IO, "cannot read the folder '%s'", dir);
	while (list && *n < MOST && (entry = readdir(d)) != NULL) {
		const char *sub = entry->d_name[0] == '.' ? NULL : onx_join(a, dir, entry->d_name);

		if (sub && stat(sub, &st) == 0 && S_ISDIR(st.st_mode))
			list[(*n)++] = sub;
	}
	closedir(d);
	if (!list)
		return onx_nomem(e, MOST * sizeof *list, "a folder");
	qsort(list, *n, sizeof *list, by_name);
	return ONX_OK;
}

/* ---- one data set ---- */

struct set {                            /* what one data set needs; released as a whole */
	struct onx_arena mem;
	const struct onx_graph *g;
	struct onx_feed feed[FEEDS];
	uint32_t n_feed;
};

/* A tensor file in memory form, copied into `mem`. */
static int load(struct onx_arena *mem, const char *path, struct onx_view **out, const char **name,
		struct onx_err *e)
{
	struct onx_tensor_file *f;
	const struct onx_weight *w;
	int rc = onx_tensor_file_read(path, &f, &w, e);

	if (rc < 0)
		return rc;
	struct onx_view *v = ONX_NEW(mem, struct onx_view);
	int64_t *dim = ONX_NEWS(mem, int64_t, (size_t)w->rank + 1);
	const size_t width = onx_dtype_store(w->type, false);
	void *numbers = onx_alloc(mem, w->n + 1, width);

	*name = onx_dup(mem, w->name);
	if (!v || !dim || !numbers || w->rank > ONX_RANK) {
		rc = w->rank > ONX_RANK ? onx_fail(e, ONX_UNSUP, "a tensor of %d dimensions", w->rank)
					: onx_nomem(e, (double)w->n * (double)width, "a tensor");
	} else {
		memcpy(dim, w->dim, (size_t)w->rank * sizeof *dim);
		*v = (struct onx_view){ .v = numbers, .n = w->n, .rank = w->rank, .dim = dim,
					.type = w->type, .width = (uint8_t)width };
		rc = onx_weight_load(w, v, e);
		for (size_t i = 0; rc == ONX_OK && w->type == ONX_STRING && i < w->n; i++)
			((const char **)numbers)[i] = onx_dup(mem, ((const char **)numbers)[i]);
		*out = v;
	}
	onx_tensor_file_free(f);
	return rc;
}

/* The package's data holds bfloat16 as the bits in uint16: NumPy has no such type. */
static int from_bits(struct onx_arena *mem, const struct onx_view **view, enum onx_dtype wanted,
		     struct onx_err *e)
{
	const struct onx_view *v = *view;
	struct onx_view *to;

	if (wanted != ONX_BFLOAT16 || v->type != ONX_UINT16)
		return ONX_OK;
	float *numbers = ONX_NEWS(mem, float, v->n + 1);
	if (!numbers || !(to = ONX_NEW(mem, struct onx_view)))
		return onx_nomem(e, 4.0 * (double)v->n, "a tensor");
	for (size_t i = 0; i < v->n; i++)
		numbers[i] = onx_from_bf16(((const uint16_t *)v->v)[i]);
	*to = *v;
	to->v = numbers;
	to->type = wanted;
	to->width = sizeof *numbers;
	*view = to;
	return ONX_OK;
}

static const char *kind_of(const struct onx_file_value *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return v[i].kind;
	return "tensor";
}

static const char *input_kind(const struct onx_graph *g, uint32_t i)
{
	const struct onx_file_graph *f = onx_model_graph(g->model);

	return i < g->n_input ? kind_of(f->input, f->n_input, g->value[g->input[i]].name) : "tensor";
}

/* A file that holds a tensor, a sequence or an optional. */
static int load_kind(struct onx_arena *mem, const char *path, const char *kind, const struct onx_view **out,
		     const char **name, struct onx_err *e)
{
	struct onx_view *v = NULL;
	int rc;

	if (strcmp(kind, "sequence") == 0 || strcmp(kind, "optional") == 0)
		return onx_value_file_read(path, kind, mem, out, e);
	rc = load(mem, path, &v, name, e);
	*out = v;
	return rc;
}

/* The input that a tensor file is for: by its name, else by its number. */
static int bind(struct set *s, uint32_t i, const char *path, struct onx_err *e)
{
	const struct onx_graph *g = s->g;
	const struct onx_view *v = NULL;
	const char *name = NULL;
	int rc = load_kind(&s->mem, path, input_kind(g, i), &v, &name, e);

	if (rc < 0)
		return rc;
	uint32_t id = name && *name ? onx_graph_find(g, name) : ONX_NONE;
	if (id == ONX_NONE || !g->value[id].input)
		id = i < g->n_input ? g->input[i] : ONX_NONE;
	if (id == ONX_NONE || s->n_feed == FEEDS)
		return onx_fail(e, ONX_FORMAT, "more data than inputs: '%s'", path);
	if ((rc = from_bits(&s->mem, &v, g->value[id].type, e)) < 0)
		return rc;
	struct onx_feed *f = &s->feed[s->n_feed++];
	*f = (struct onx_feed){ .value = id, .type = v->type, .known = v, .shape = { .rank = v->rank } };
	memcpy(f->shape.dim, v->dim, (size_t)v->rank * sizeof *v->dim);
	return ONX_OK;
}

static int compare(const struct onx_view *have, const struct onx_view *want, const char *name,
		   struct onx_err *e)
{
	char a[ONX_SHAPE_TEXT], b[ONX_SHAPE_TEXT];
	bool same = have->rank == want->rank && have->type == want->type;

	for (int i = 0; same && i < have->rank; i++)
		same = have->dim[i] == want->dim[i];
	if (!same)
		return onx_fail(e, ONX_NO, "output '%s' is %s%s, wanted %s%s", name, onx_dtype_name(have->type),
				onx_shape_text(have->rank, have->dim, a, sizeof a), onx_dtype_name(want->type),
				onx_shape_text(want->rank, want->dim, b, sizeof b));
	if (have->type == ONX_STRING) {
		for (size_t i = 0; i < have->n; i++)
			if (strcmp(((const char **)have->v)[i], ((const char **)want->v)[i]) != 0)
				return onx_fail(e, ONX_NO, "output '%s', element %zu is '%s', wanted '%s'", name,
						i, ((const char **)have->v)[i], ((const char **)want->v)[i]);
		return ONX_OK;
	}
	if (onx_holds_views(have->type)) {
		int rc = ONX_OK;

		for (size_t i = 0; rc == ONX_OK && i < have->n; i++)
			rc = compare(onx_seq_at(have, i), onx_seq_at(want, i), name, e);
		return rc;
	}
	const bool exact = !onx_dtype_real(have->type);
	struct onx_gap gap = { 0 };
	onx_compare(have, want, exact ? 0 : 1e-3, exact ? 0 : 1e-7, &gap);
	if (gap.bad == 0)
		return ONX_OK;
	return onx_fail(e, ONX_NO, "output '%s': %zu of %zu elements differ, first number %zu: %.9g, wanted %.9g",
			name, gap.bad, have->n, gap.at, gap.a, gap.b);
}

static int check_outputs(const struct set *s, const struct onx_facts *f, const char *dir, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	uint32_t checked = 0;
	int rc = ONX_OK;

	for (uint32_t i = 0; rc == ONX_OK && i < s->g->n_output; i++) {
		const uint32_t id = s->g->output[i];
		const struct onx_file_graph *file = onx_model_graph(s->g->model);
		const struct onx_view *want = NULL;
		const char *name, *path = onx_text(&mem, "%s/output_%u.pb", dir, (unsigned)i);

		if (!path)
			rc = onx_nomem(e, 256, "a path");
		else if (!is_there(path))
			continue;
		else
			rc = load_kind(&mem, path, kind_of(file->output, file->n_output, s->g->value[id].name),
				       &want, &name, e);
		if (rc == ONX_OK && !f->fact[id].value)
			rc = onx_fail(e, ONX_UNSUP, "output '%s' was not computed", s->g->value[id].name);
		if (rc == ONX_OK)
			rc = from_bits(&mem, &want, f->fact[id].value->type, e);
		if (rc == ONX_OK)
			rc = compare(f->fact[id].value, want, s->g->value[id].name, e);
		checked++;
	}
	if (rc == ONX_OK && checked == 0)
		rc = onx_fail(e, ONX_FORMAT, "no expected output in '%s'", dir);
	onx_arena_release(&mem);
	return rc;
}

static int run_set(struct run *r, const struct onx_graph *g, const char *dir, struct onx_err *e)
{
	struct set *s = onx_heap(1, sizeof *s);
	struct onx_facts *f = NULL;
	struct onx_consts consts;
	int rc = ONX_OK;

	if (!s)
		return onx_nomem(e, sizeof *s, "a test");
	s->g = g;
	onx_consts_init(&consts, g);
	for (uint32_t i = 0; rc == ONX_OK; i++) {
		const char *path = onx_text(&s->mem, "%s/input_%u.pb", dir, (unsigned)i);

		if (!path || !is_there(path))
			break;
		rc = bind(s, i, path, e);
	}
	const struct onx_facts_want want = { .feed = s->feed, .n_feed = s->n_feed, .evaluate = true,
					     .pool = r->pool };
	if (rc == ONX_OK)
		rc = onx_facts_make(g, &consts, &want, &f, e);
	if (rc == ONX_OK)
		rc = check_outputs(s, f, dir, e);
	onx_facts_free(f);
	onx_consts_release(&consts);
	onx_arena_release(&s->mem);
	onx_heap_free(s);
	return rc;
}

/* ---- one test ---- */

static int run_model(struct run *r, const char *dir, size_t *sets, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_model *m = NULL;
	struct onx_graph *g = NULL;
	const char *path = onx_join(&mem, dir, "model.onnx");
	int rc = path ? onx_model_read(path, &m, e) : onx_nomem(e, 256, "a path");

	if (rc == ONX_OK)
		rc = onx_graph_build(m, 0, &g, e);
	for (unsigned k = 0; rc == ONX_OK; k++) {
		const char *set = onx_text(&mem, "%s/test_data_set_%u", dir, k);

		if (!set || !is_there(set))
			break;
		rc = run_set(r, g, set, e);
		++*sets;
	}
	onx_graph_free(g);
	onx_model_free(m);
	onx_arena_release(&mem);
	return rc;
}

/* The last two parts of a path. */
static const char *test_name(const char *dir)
{
	const char *p = dir + strlen(dir);

	for (int slashes = 0; p > dir; p--)
		if (p[-1] == '/' && ++slashes == 2)
			break;
	return p;
}

static void run_test(struct run *r, const char *dir)
{
	const char *name = test_name(dir);
	const bool listed = onx_names_get(&r->listed, name) != ONX_NONE;
	struct onx_err e = { 0 };
	size_t sets = 0;
	int rc = run_model(r, dir, &sets, &e);

	if (rc == ONX_OK && sets == 0) {
		r->skipped++;
	} else if (rc == ONX_OK && r->has_list && !listed) {
		r->failed++;
		fprintf(r->out, "FAIL %s: unexpected pass: it is not in the list\n", name);
	} else if (rc == ONX_OK) {
		r->passed++;
	} else if (r->has_list && !listed) {
		r->skipped++;
	} else {
		r->failed++;
		fprintf(r->out, "FAIL %s: %s\n", name, e.text);
	}
}

static int visit(struct run *r, const char *dir, int depth, struct onx_err *e)
{
	const char *model = onx_join(&r->mem, dir, "model.onnx");
	const char **sub;
	size_t n;

	if (!model)
		return onx_nomem(e, 256, "a path");
	if (is_there(model)) {
		run_test(r, dir);
		return ONX_OK;
	}
	int rc = folders(&r->mem, dir, &sub, &n, e);
	for (size_t i = 0; rc == ONX_OK && depth < DEPTH && i < n; i++)
		rc = visit(r, sub[i], depth + 1, e);
	return rc;
}

static int read_list(struct run *r, const char *path, struct onx_err *e)
{
	struct onx_bytes b;
	int rc = onx_read(path, LIST_LIMIT, &b, e);

	if (rc < 0)
		return rc;
	r->has_list = true;
	for (size_t at = 0; rc == ONX_OK && at < b.len; ) {
		const char *line = (const char *)b.data + at;
		const char *end = memchr(line, '\n', b.len - at);
		size_t n = end ? (size_t)(end - line) : b.len - at;

		at += n + 1;
		while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\r'))
			n--;
		if (n == 0 || line[0] == '#')
			continue;
		const char *name = onx_dupn(&r->mem, line, n);
		if (!name || !onx_names_put(&r->listed, name, 1))
			rc = onx_nomem(e, (double)n, "the list of tests");
	}
	onx_bytes_release(&b);
	return rc;
}

int onx_backend_test(const char *const *dirs, size_t n, const char *list, struct onx_pool *pool, FILE *out,
		     struct onx_err *e)
{
	struct run r = { .pool = pool, .out = out };
	int rc = ONX_OK;

	r.listed.arena = &r.mem;
	if (list)
		rc = read_list(&r, list, e);
	for (size_t i = 0; rc == ONX_OK && i < n; i++)
		rc = visit(&r, dirs[i], 0, e);
	if (rc == ONX_OK) {
		fprintf(out, "%zu passed, %zu failed, %zu skipped\n", r.passed, r.failed, r.skipped);
		if (r.failed > 0)
			rc = onx_fail(e, ONX_NO, "%zu of %zu tests failed", r.failed, r.passed + r.failed);
	}
	onx_names_release(&r.listed);
	onx_arena_release(&r.mem);
	return rc;
}
