/* fault/lib/change.c -- see sketch.h: one change of a model's text, drawn at random. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fault/lib/sketch.h"

static const char *const sizes[] = {
	"-9223372036854775808", "-2147483648", "-7", "-3", "-2", "-1", "0", "1", "2", "3", "4", "5", "7", "8", "11",
	"16", "17", "32", "255", "4096", "65536", "2147483647", "4294967296", "4611686018427387904",
	"9223372036854775807", "0.5", "1e30", "nan", "?" };
static const char marks[] = " ,=";

struct word { int line; size_t at, n; };

/* The words of a text, between blanks, commas and equals signs; returns how many. */
static int words(const struct sketch *s, struct word *w, int most)
{
	int n = 0;

	for (int i = 0; i < s->n; i++)
		for (size_t at = 0; s->line[i][at]; ) {
			const size_t len = strcspn(s->line[i] + at, marks);
			if (len && n < most)
				w[n++] = (struct word){ i, at, len };
			at += len + (s->line[i][at + len] != 0);
		}
	return n;
}

static bool is_number(const char *p)
{
	return (*p >= '0' && *p <= '9') || ((*p == '-' || *p == '?') && p[1] != '-');
}

static void put(char *line, size_t at, size_t n, const char *with, size_t len)
{
	const size_t all = strlen(line);

	if (all - n + len + 1 > SKETCH_LINE)
		return;
	memmove(line + at + len, line + at + n, all - at - n + 1);
	memcpy(line + at, with, len);
}

enum { WORDS = 1024 };

/* A word becomes another, of its own kind most of the time. */
static void change_word(struct sketch *s, const struct sketch *from, struct onx_rng *r)
{
	struct word a[WORDS], b[WORDS];
	const int n = words(s, a, WORDS), m = words(from, b, WORDS);

	if (n == 0 || m == 0)
		return;
	const struct word to = a[onx_rng_below(r, (uint32_t)n)];
	char *line = s->line[to.line];
	const bool number = is_number(line + to.at);
	if (number && onx_rng_below(r, 4)) {
		/* small ones half of the time: what is absurd ends early */
		const uint32_t k = onx_rng_below(r, 2) ? 4 + onx_rng_below(r, 9)
				   : onx_rng_below(r, sizeof sizes / sizeof *sizes);
		const char *with = sizes[k];
		put(line, to.at, to.n, with, strlen(with));
		return;
	}
	for (int i = 0; i < 20; i++) {
		const struct word *w = &b[onx_rng_below(r, (uint32_t)m)];
		const char *with = from->line[w->line] + w->at;
		/* a type for a type, an attribute for an attribute, a name for a name */
		if (i < 15 && (is_number(with) != number || (w->at == 0) != (to.at == 0) ||
			       !memchr(with, ':', w->n) != !memchr(line + to.at, ':', to.n)))
			continue;
		char text[SKETCH_LINE];
		memcpy(text, with, w->n);
		put(line, to.at, to.n, text, w->n);
		return;
	}
}

static void drop_word(struct sketch *s, struct onx_rng *r)
{
	struct word a[WORDS];
	const int n = words(s, a, WORDS);

	if (n == 0)
		return;
	const struct word w = a[onx_rng_below(r, (uint32_t)n)];
	put(s->line[w.line], w.at, w.n, "_", onx_rng_below(r, 2));
}

/* One more input, size or number. */
static void double_word(struct sketch *s, struct onx_rng *r)
{
	struct word a[WORDS];
	const int n = words(s, a, WORDS);
	char text[SKETCH_LINE + 1];

	if (n == 0)
		return;
	const struct word w = a[onx_rng_below(r, (uint32_t)n)];
	snprintf(text, sizeof text, "%.*s,", (int)w.n, s->line[w.line] + w.at);
	put(s->line[w.line], w.at, 0, text, strlen(text));
}

static void change_line(struct sketch *s, const struct sketch *other, struct onx_rng *r)
{
	const int at = (int)onx_rng_below(r, (uint32_t)s->n), with = (int)onx_rng_below(r, (uint32_t)s->n);
	char text[SKETCH_LINE];

	memcpy(text, s->line[at], sizeof text);
	switch (onx_rng_below(r, 4)) {
	case 0:                                 /* gone */
		memmove(s->line[at], s->line[at + 1], (size_t)(s->n - at - 1) * SKETCH_LINE);
		s->n--;
		break;
	case 1:                                 /* swapped */
		memcpy(s->line[at], s->line[with], sizeof text);
		memcpy(s->line[with], text, sizeof text);
		break;
	default:                                /* one more, of the other model too */
		if (s->n == SKETCH_LINES)
			break;
		if (other->n && onx_rng_below(r, 2))
			memcpy(text, other->line[onx_rng_below(r, (uint32_t)other->n)], sizeof text);
		memmove(s->line[at + 1], s->line[at], (size_t)(s->n - at) * SKETCH_LINE);
		memcpy(s->line[at], text, sizeof text);
		s->n++;
	}
}

/* A node takes its type and attributes from one of the other model's. */
static void change_node(struct sketch *s, const struct sketch *other, struct onx_rng *r)
{
	const int at = (int)onx_rng_below(r, (uint32_t)s->n);
	char *arrow = strstr(s->line[at], " > ");

	for (int i = 0; arrow && other->n && i < 20; i++) {
		const char *from = other->line[onx_rng_below(r, (uint32_t)other->n)], *bar = strstr(from, " | ");
		char text[2 * SKETCH_LINE];
		if (!strstr(from, " > "))
			continue;
		const char *wires = s->line[at] + strcspn(s->line[at], " ");
		snprintf(text, sizeof text, "%.*s%.*s%s", (int)strcspn(from, " "), from, (int)strcspn(wires, "|"),
			 wires, bar ? bar : "");
		snprintf(s->line[at], SKETCH_LINE, "%.*s", SKETCH_LINE - 1, text);
		return;
	}
}

void sketch_change(struct sketch *s, const struct sketch *other, struct onx_rng *r)
{
	if (s->n == 0)
		return;
	switch (onx_rng_below(r, 8)) {
	case 0: change_line(s, other, r); break;
	case 1: change_node(s, other, r); break;
	case 2: drop_word(s, r); break;
	case 3: double_word(s, r); break;
	case 4: change_word(s, other, r); break;
	default: change_word(s, s, r); break;
	}
}
