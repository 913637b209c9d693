/* fault/lib/sketch.c -- see sketch.h: the text as bytes of a file. */
#include "fault/lib/sketch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VARINT, LEN = 2, F32 = 5, DEEP = 4 };

static void varint(struct onx_buf *b, uint64_t v)
{
	uint8_t byte;

	for (; v > 127; v >>= 7) {
		byte = (uint8_t)(v | 128);
		onx_buf_add(b, &byte, 1);
	}
	byte = (uint8_t)v;
	onx_buf_add(b, &byte, 1);
}

static void whole(struct onx_buf *b, unsigned field, int64_t v)
{
	varint(b, field << 3 | VARINT);
	varint(b, (uint64_t)v);
}

static void bytes(struct onx_buf *b, unsigned field, const void *p, size_t n)
{
	varint(b, field << 3 | LEN);
	varint(b, n);
	onx_buf_add(b, p, n);
}

static void text(struct onx_buf *b, unsigned field, const char *s)
{
	bytes(b, field, s, strlen(s));
}

static void message(struct onx_buf *b, unsigned field, struct onx_buf *m)
{
	bytes(b, field, m->data ? m->data : (void *)"", m->len);
	onx_buf_release(m);
}

static void real(struct onx_buf *b, unsigned field, float v)
{
	varint(b, field << 3 | F32);
	onx_buf_add(b, &v, sizeof v);
}

/* The next piece of *at up to one of `ends`, in `word`; false: there is none. */
static bool piece(const char **at, const char *ends, char word[SKETCH_LINE])
{
	size_t n;

	*at += strspn(*at, ends);
	n = strcspn(*at, ends);
	if (n == 0)
		return false;
	memcpy(word, *at, n);
	word[n] = 0;
	*at += n;
	return true;
}

/* ---- values and constants ---- */

static struct onx_buf value(const char *name, int64_t type, const char *dims)
{
	struct onx_buf v = { 0 }, t = { 0 }, tensor = { 0 }, shape = { 0 };
	char d[SKETCH_LINE];

	while (dims && piece(&dims, ",", d)) {
		struct onx_buf dim = { 0 };
		if (*d == '?')
			text(&dim, 2, "n");
		else
			whole(&dim, 1, strtoll(d, NULL, 10));
		message(&shape, 1, &dim);
	}
	whole(&tensor, 1, type);
	if (dims)
		message(&tensor, 2, &shape);
	message(&t, 1, &tensor);
	text(&v, 1, name);
	message(&v, 2, &t);
	return v;
}

/* Numbers that repeat, as many bytes as the type and the sizes take (up to a bound: then they are too few). */
static struct onx_buf weight(const char *name, const char *dims)
{
	static const uint8_t width[] = { 0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2 };
	const char *colon = strchr(name, ':');
	const int64_t type = colon ? strtoll(colon + 1, NULL, 10) : 1;
	struct onx_buf t = { 0 }, raw = { 0 };
	char d[SKETCH_LINE];
	double n = 1;

	while (piece(&dims, ",", d)) {
		whole(&t, 1, strtoll(d, NULL, 10));
		n *= (double)strtoll(d, NULL, 10);
	}
	n *= type > 0 && type < (int64_t)sizeof width ? width[type] : 1;
	for (size_t i = 0; (double)i < n && i < 1 << 16; i++) {
		const float x = (float)((i / 4 * 7 + 3) % 11) / 8 - 0.5f;
		const uint8_t b = type == 1 ? ((const uint8_t *)&x)[i % 4] : i % 8 == 0;
		onx_buf_add(&raw, &b, 1);
	}
	whole(&t, 2, type);
	bytes(&t, 8, name, colon ? (size_t)(colon - name) : strlen(name));
	message(&t, 9, &raw);
	return t;
}

static struct onx_buf numbers(const char *name, const char *list, int64_t type, bool scalar)
{
	struct onx_buf t = { 0 };
	char d[SKETCH_LINE];
	int64_t n = 0;

	while (piece(&list, ",", d)) {
		whole(&t, type == 7 ? 7 : 5, strtoll(d, NULL, 10));
		n++;
	}
	if (!scalar)
		whole(&t, 1, n);
	whole(&t, 2, type);
	text(&t, 8, name);
	return t;
}

/* ---- nodes ---- */

static void graph(const struct sketch *s, int which, int depth, struct onx_buf *g);

static void attribute(const struct sketch *s, int graph_now, int depth, const char *word, struct onx_buf *node)
{
	const char *colon = strchr(word, ':'), *to = colon && colon[1] ? strchr(colon, '=') : NULL;
	struct onx_buf a = { 0 }, g = { 0 };
	char d[SKETCH_LINE];

	if (!to)
		return;
	bytes(&a, 1, word, (size_t)(colon - word));
	to++;
	switch (colon[1]) {
	case 'i': whole(&a, 3, strtoll(to, NULL, 10)); whole(&a, 20, 2); break;
	case 'f': real(&a, 2, strtof(to, NULL)); whole(&a, 20, 1); break;
	case 's': text(&a, 4, to); whole(&a, 20, 3); break;
	case 'I':
		while (piece(&to, ",", d))
			whole(&a, 8, strtoll(d, NULL, 10));
		whole(&a, 20, 7);
		break;
	case 'F':
		while (piece(&to, ",", d))
			real(&a, 7, strtof(d, NULL));
		whole(&a, 20, 6);
		break;
	case 'S':
		while (piece(&to, ",", d))
			text(&a, 9, d);
		whole(&a, 20, 8);
		break;
	case 'g':
		if (depth < DEEP && strtol(to, NULL, 10) > graph_now)
			graph(s, (int)strtol(to, NULL, 10), depth + 1, &g);
		message(&a, 6, &g);
		whole(&a, 20, 5);
		break;
	default: break;
	}
	message(node, 5, &a);
}

static void node(const struct sketch *s, int which, int depth, const char *line, struct onx_buf *g)
{
	struct onx_buf n = { 0 };
	char word[SKETCH_LINE], name[SKETCH_LINE];
	const char *dot, *list;
	int part = 0;

	if (!piece(&line, " ", word))
		return;
	dot = strrchr(word, '.');
	text(&n, 4, dot ? dot + 1 : word);
	if (dot)
		bytes(&n, 7, word, (size_t)(dot - word));
	while (piece(&line, " ", word)) {
		if (strcmp(word, ">") == 0 || strcmp(word, "|") == 0) {
			part = *word == '>' ? 1 : 2;
			continue;
		}
		if (part == 2)
			attribute(s, which, depth, word, &n);
		for (list = word; part < 2 && piece(&list, ",", name); )
			text(&n, part == 0 ? 1 : 2, *name == '_' ? "" : name);
	}
	message(g, 1, &n);
}

static void declaration(const char *line, struct onx_buf *g)
{
	char kind[SKETCH_LINE], name[SKETCH_LINE], a[SKETCH_LINE] = "", b[SKETCH_LINE] = "";
	const bool any = piece(&line, " ", kind) && piece(&line, " ", name);
	const bool more = any && piece(&line, " ", a), last = more && piece(&line, " ", b);
	struct onx_buf m = { 0 };

	if (!any)
		return;
	if (strcmp(kind, "in") == 0 || strcmp(kind, "out") == 0) {
		m = value(name, strtoll(a, NULL, 10), last ? b : NULL);
		message(g, *kind == 'i' ? 11 : 12, &m);
		return;
	}
	m = strcmp(kind, "w") == 0 ? weight(name, a) : numbers(name, a, *kind == 'b' ? 9 : 7, kind[1] == '0');
	message(g, 5, &m);
}

static bool declares(const char *line)
{
	static const char *const word[] = { "in ", "out ", "w ", "k ", "k0 ", "b0 " };

	for (size_t i = 0; i < sizeof word / sizeof *word; i++)
		if (strncmp(line, word[i], strlen(word[i])) == 0)
			return true;
	return false;
}

static void graph(const struct sketch *s, int which, int depth, struct onx_buf *g)
{
	int now = 0;

	text(g, 2, "g");
	for (int i = 0; i < s->n; i++) {
		if (strcmp(s->line[i], "---") == 0)
			now++;
		else if (now != which || strncmp(s->line[i], "opset", 5) == 0)
			continue;
		else if (declares(s->line[i]))
			declaration(s->line[i], g);
		else
			node(s, which, depth, s->line[i], g);
	}
}

static void opset(struct onx_buf *m, const char *domain, int64_t version)
{
	struct onx_buf set = { 0 };

	text(&set, 1, domain);
	whole(&set, 2, version);
	message(m, 8, &set);
}

bool sketch_bytes(const struct sketch *s, struct onx_buf *file)
{
	struct onx_buf g = { 0 };
	int64_t version = 17;

	for (int i = 0; i < s->n; i++)
		if (strncmp(s->line[i], "opset ", 6) == 0)
			version = strtoll(s->line[i] + 6, NULL, 10);
	graph(s, 0, 0, &g);
	whole(file, 1, 10);
	message(file, 7, &g);
	opset(file, "", version);
	opset(file, "com.microsoft", 1);
	opset(file, "ai.onnx.ml", 3);
	opset(file, "ai.onnx.preview.training", 1);
	return !file->lost;
}

void sketch_read(struct sketch *s, const char *from)
{
	s->n = 0;
	while (*from && s->n < SKETCH_LINES) {
		const size_t n = strcspn(from, "\n"), kept = n < SKETCH_LINE - 1 ? n : SKETCH_LINE - 1;
		memcpy(s->line[s->n], from, kept);
		s->line[s->n++][kept] = 0;
		from += n + (from[n] == '\n');
	}
}

void sketch_print(const struct sketch *s)
{
	for (int i = 0; i < s->n; i++)
		printf("# %s\n", s->line[i]);
	fflush(stdout);
}
