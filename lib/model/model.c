/* model/model.c -- a model from bytes and back, and what there is to ask about it. */
#include "model/model_i.h"
#include <string.h>

/* What to say about bytes that the scan refused: they may never have been a model. */
static int not_onnx(const struct onx_model *m, int rc, struct onx_err *e)
{
	const char *what = onx_wire_sniff(m->source, m->n_source);

	if (!what)
		return rc;
	return onx_fail(e, ONX_FORMAT, "not an ONNX model: %s", what);
}

static int name_producer(struct onx_model *m, struct onx_err *e)
{
	const char *name = onx_or_empty(m->proto->producer_name);
	const char *version = onx_or_empty(m->proto->producer_version);

	m->producer = onx_text(&m->arena, "%s%s%s", name, *name && *version ? " " : "", version);
	return m->producer ? ONX_OK : onx_nomem(e, 64, "a name");
}

/* m->source is there: everything that is made from it.  in_place: as for onx_unpack. */
static int load(struct onx_model *m, bool in_place, struct onx_err *e)
{
	ProtobufCMessage *msg;

	if (m->n_source == 0)
		return not_onnx(m, ONX_FORMAT, e);
	int rc = onx_unpack(&m->un, &onnx__model_proto__descriptor, m->source, m->n_source, in_place, &msg, e);
	if (rc < 0)
		return not_onnx(m, rc, e);
	m->proto = (Onnx__ModelProto *)msg;
	if (!m->proto->graph) {
		rc = onx_fail(e, ONX_FORMAT, "not an ONNX model, or cut short: it has no graph");
		return not_onnx(m, rc, e);
	}
	rc = name_producer(m, e);
	if (rc == ONX_OK)
		rc = onx_external_open(m, e);
	if (rc == ONX_OK)
		rc = onx_view_opsets(m, e);
	if (rc == ONX_OK)
		rc = onx_view_graph(m, m->proto->graph, &m->graph, e);
	return rc;
}

static int fresh(struct onx_model **out, const char *path, const char *dir, struct onx_err *e)
{
	struct onx_model *m = onx_heap(1, sizeof *m);

	if (!m)
		return onx_nomem(e, sizeof *m, "a model");
	m->path = onx_dup(&m->arena, path);
	m->dir = onx_dup(&m->arena, dir);
	if (!m->path || (dir && !m->dir)) {
		onx_model_free(m);
		return onx_nomem(e, 64, "a model");
	}
	*out = m;
	return ONX_OK;
}

static int read_model(const char *path, bool in_place, struct onx_model **out, struct onx_err *e)
{
	const bool pipe = !path || !strcmp(path, "-");
	struct onx_model *m;

	int rc = fresh(&m, pipe ? "-" : path, ".", e);
	if (rc < 0)
		return rc;
	if (!pipe)
		m->dir = (char *)(uintptr_t)onx_dirname(&m->arena, path);
	if (!m->dir)
		rc = onx_nomem(e, 64, "a path");
	else if (in_place)
		rc = onx_map(path, INT32_MAX, &m->file, e);
	else
		rc = onx_read(path, INT32_MAX, &m->file, e);
	if (rc == ONX_OK) {
		m->source = m->file.data;
		m->n_source = m->file.len;
		rc = load(m, in_place || !m->file.mapped, e);
		if (!in_place)
			onx_bytes_rest(&m->file);       /* all was copied out of it */
		rc = pipe ? onx_while(e, rc, "reading standard input")
			  : onx_while(e, rc, "reading '%s'", path);
	}
	if (rc < 0)
		onx_model_free(m);
	else
		*out = m;
	return rc;
}

int onx_model_read(const char *path, struct onx_model **out, struct onx_err *e)
{
	return read_model(path, false, out, e);
}

int onx_model_look(const char *path, struct onx_model **out, struct onx_err *e)
{
	return read_model(path, true, out, e);
}

int onx_model_parse(const void *data, size_t n, const char *dir, struct onx_model **out,
		    struct onx_err *e)
{
	struct onx_model *m;

	int rc = fresh(&m, "-", dir, e);
	if (rc < 0)
		return rc;
	uint8_t *copy = onx_alloc(&m->arena, n ? n : 1, 1);
	if (!copy) {
		rc = onx_nomem(e, (double)n, "the bytes of a model");
	} else {
		if (n)
			memcpy(copy, data, n);
		m->source = copy;
		m->n_source = n;
		rc = load(m, true, e);
	}
	if (rc < 0)
		onx_model_free(m);
	else
		*out = m;
	return rc;
}

void onx_model_free(struct onx_model *m)
{
	if (!m)
		return;
	onx_external_close(m);
	onx_unpacked_release(&m->un);
	onx_bytes_release(&m->file);
	onx_arena_release(&m->arena);
	onx_heap_free(m);
}

/* --- a new one -------------------------------------------------------------------------------- */

/* The IR version that came with an opset (ONNX's table of releases, docs/Versioning.md); never
 * below 4, where initializers stopped having to be inputs as well. */
static int64_t ir_of_opset(int64_t opset)
{
	static const struct { int64_t opset, ir;
	} rows[] = { { 28, 14 }, { 25, 13 }, { 24, 12 }, { 23, 11 }, { 21, 10 }, { 19, 9 },
		     { 15, 8 },  { 12, 7 },  { 11, 6 },  { 10, 5 } };
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (opset >= rows[i].opset)
			return rows[i].ir;
	return 4;
}

int onx_model_new(const char *graph_name, int64_t opset, struct onx_model **out, struct onx_err *e)
{
	struct onx_model *m;

	int rc = fresh(&m, "-", NULL, e);
	if (rc < 0)
		return rc;
	m->proto = ONX_NEW(&m->arena, Onnx__ModelProto);
	Onnx__GraphProto *g = ONX_NEW(&m->arena, Onnx__GraphProto);
	if (!m->proto || !g) {
		onx_model_free(m);
		return onx_nomem(e, sizeof *g, "a new model");
	}
	onnx__model_proto__init(m->proto);
	onnx__graph_proto__init(g);
	m->proto->has_ir_version = 1;
	m->proto->ir_version = ir_of_opset(opset);
	m->proto->producer_name = onx_dup(&m->arena, "onnx-adapt");
	m->proto->graph = g;
	m->dirty = true;
	g->name = onx_dup(&m->arena, onx_or_empty(graph_name));
	if (!g->name || !m->proto->producer_name)
		rc = onx_nomem(e, 64, "a new model");
	if (rc == ONX_OK)
		rc = name_producer(m, e);
	if (rc == ONX_OK)
		rc = onx_model_set_opset(m, "", opset, e);
	if (rc == ONX_OK)
		rc = onx_view_graph(m, g, &m->graph, e);
	if (rc < 0)
		onx_model_free(m);
	else
		*out = m;
	return rc;
}

/* --- questions -------------------------------------------------------------------------------- */

struct onx_arena *onx_model_arena(struct onx_model *m)
{
	return &m->arena;
}

const char *onx_model_path(const struct onx_model *m)
{
	return m->path;
}

const struct onx_file_graph *onx_model_graph(const struct onx_model *m)
{
	return m->graph;
}

int64_t onx_model_ir(const struct onx_model *m)
{
	return m->proto->ir_version;
}

const char *onx_model_producer(const struct onx_model *m)
{
	return m->producer;
}

size_t onx_model_opsets(const struct onx_model *m, const struct onx_file_opset **v)
{
	*v = m->opset;
	return m->n_opset;
}

int64_t onx_model_opset(const struct onx_model *m, const char *domain)
{
	for (size_t i = 0; i < m->n_opset; i++)
		if (!strcmp(m->opset[i].domain, onx_domain_norm(domain)))
			return m->opset[i].version;
	return 0;
}

size_t onx_model_n_functions(const struct onx_model *m)
{
	return m->proto->n_functions;
}

int onx_model_functions(struct onx_model *m, const struct onx_file_function **v, size_t *n, struct onx_err *e)
{
	const int rc = m->function ? ONX_OK : onx_view_functions(m, e);

	*v = m->function;
	*n = m->proto->n_functions;
	return rc;
}
