/* op/absurd.c -- every case with some of its numbers, types and words changed at random: sizes of 0, negative
 * axes, the largest whole numbers, inputs left out.  Whatever comes of it, infer answers with shapes or a
 * fault, and what it lets through runs forward and backward within its memory.
 * Arguments: names of operators; none: all.  ONX_ABSURD: tries for each case, or FIRST+TRIES. */
#include "case.h"
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/rng.h"

enum { TEXT = 4096, MOST = 1 << 20 };
static char current[2 * TEXT];          /* what runs now, for the handler */

static void crashed(int signal_number)
{
	const char *const start = "not ok - crashed: ";

	(void)signal_number;
	if (write(1, start, strlen(start)) < 0 || write(1, current, strlen(current)) < 0 || write(1, "\n", 1) < 0)
		_exit(2);
	_exit(1);
}

static uint32_t draw(struct onx_rng *g, uint32_t n)
{
	return (uint32_t)onx_rng_range(g, 0, n) % n;
}

/* Puts `with` in the place of text[at .. at + n). */
static void replace(char *text, size_t at, size_t n, const char *with)
{
	const size_t len = strlen(text), add = strlen(with);

	if (len - n + add + 1 > TEXT)
		return;
	memmove(text + at + add, text + at + n, len - at - n + 1);
	memcpy(text + at, with, add);
}

/* The number behind the k-th start of digits that `taken` allows; false: there are not so many. */
static bool number_at(const char *text, uint32_t k, bool (*taken)(const char *, size_t), size_t *at, size_t *n)
{
	for (size_t i = 0; text[i]; i++) {
		if (!isdigit((unsigned char)text[i]) || (i > 0 && isalnum((unsigned char)text[i - 1])
							 && text[i - 1] != 'x') || !taken(text, i))
			continue;
		if (k-- > 0)
			continue;
		*at = i;
		*n = strspn(text + i, "0123456789");
		return true;
	}
	return false;
}

static bool in_braces(const char *text, size_t i)
{
	while (i > 0 && text[i] != '{' && text[i] != ' ' && text[i] != '}')
		i--;
	return text[i] == '{';
}

static bool any(const char *text, size_t i)
{
	(void)text, (void)i;
	return true;
}

/* A size of a tensor without values (those must be as many as the sizes say). */
static bool is_size(const char *text, size_t i)
{
	const char *brace = strpbrk(text + i, " {[");

	return !in_braces(text, i) && !(brace && *brace == '{') && i > 0 &&
	       (text[i - 1] == ':' || text[i - 1] == 'x');
}

static bool is_value(const char *text, size_t i)
{
	return in_braces(text, i);
}

static void change_number(struct onx_rng *g, char *text, bool (*taken)(const char *, size_t), bool extreme)
{
	static const char *const numbers[] = { "0", "1", "2", "3", "5", "-1", "-2", "-7", "9", "33",
					       "9223372036854775807", "-9223372036854775808", "4294967296" };
	size_t at, n, count = 0;

	while (number_at(text, (uint32_t)count, taken, &at, &n))
		count++;
	if (count == 0 || !number_at(text, draw(g, (uint32_t)count), taken, &at, &n))
		return;
	replace(text, at, n, numbers[draw(g, extreme ? 13 : 5)]);
	if (at > 0 && text[at - 1] == '-' && text[at] == '-')
		replace(text, at - 1, 1, "");
}

/* Another element type in front of a tensor's sizes. */
static void change_type(struct onx_rng *g, char *text)
{
	static const char *const types[] = { "float", "int64", "int32", "uint8", "bool", "float16", "double",
					     "string", "bfloat16", "int8", "uint64", "uint4", "int2",
					     "float8e5m2", "float4e2m1", "complex64" };
	const char *colon = strchr(text, ':');
	char with[32];

	for (uint32_t skip = draw(g, 4); colon && skip > 0; skip--) {
		const char *next = strchr(colon + 1, ' ');
		colon = next && strchr(next, ':') ? strchr(next, ':') : colon;
	}
	if (!colon)
		return;
	const size_t at = (size_t)(colon - text) + 1, n = strcspn(text + at, ": ");
	snprintf(with, sizeof with, "%s:", types[draw(g, 16)]);
	replace(text, at, text[at + n] == ':' ? n + 1 : 0, with);
}

/* A size more or less, or a tensor left out. */
static void change_rank(struct onx_rng *g, char *text)
{
	size_t at, n, count = 0;

	while (number_at(text, (uint32_t)count, is_size, &at, &n))
		count++;
	if (count == 0 || !number_at(text, draw(g, (uint32_t)count), is_size, &at, &n))
		return;
	if (draw(g, 3) > 0) {
		replace(text, at, 0, draw(g, 2) ? "1x" : "2x");
	} else if (text[at + n] == 'x') {
		replace(text, at, n + 1, "");
	} else {
		while (at > 0 && text[at - 1] != ' ')
			at--;
		replace(text, at, strcspn(text + at, " "), "-");
	}
}

static void change(struct onx_rng *g, char *attr, char *in)
{
	switch (draw(g, 8)) {
	case 0: case 1: change_number(g, in, is_size, false); break;
	case 2: change_number(g, in, is_value, true); break;
	case 3: case 4: change_number(g, attr, any, true); break;
	case 5: change_type(g, in); break;
	default: change_rank(g, in); break;
	}
}

struct tally { int cases, runs, bad; };

/* One changed case: -1 refused, 0 ran, 1 wrote outside its memory. */
static int run(const struct op_case *c, bool wide)
{
	struct op_run r;
	struct onx_err e = { 0 };
	int verdict = -1;

	if (op_run_open(&r, c, wide, 1, &e) == ONX_OK) {
		verdict = !op_run_forward(&r, NULL, NULL);
		unsigned want = 0;
		for (int i = 0; i < r.s.n_in && i < 15; i++)
			want |= r.dx[i].v && onx_op_grad(r.op, i) == ONX_G_DIFF ? 1u << i : 0;
		if (r.op->backward && want && op_run_sources(&r) && !op_run_backward(&r, NULL, NULL, want, false,
										     op_run_sources(&r)))
			verdict = 1;
	}
	op_run_release(&r);
	return verdict;
}

static void try_case(struct tally *t, const struct op_case *from, size_t number, unsigned first, unsigned tries)
{
	for (unsigned k = first; k < first + tries; k++) {
		char attr[TEXT], in[TEXT];
		struct onx_rng g;
		struct op_case c = *from;

		onx_rng_init(&g, k, ONX_RNG_TEST, 3, number);
		snprintf(attr, sizeof attr, "%s", from->attr ? from->attr : "");
		snprintf(in, sizeof in, "%s", from->in);
		for (uint32_t n = 1 + draw(&g, 3); n > 0; n--)
			change(&g, attr, in);
		c.attr = *attr ? attr : NULL;
		c.in = in;
		c.kink = NULL;
		c.most = MOST;
		op_case_text(&c, current, sizeof current);
		/* as a plan does: double is not computed in float */
		const int verdict = run(&c, draw(&g, 2) || strstr(in, "double"));
		t->cases++;
		t->runs += verdict >= 0;
		t->bad += verdict > 0;
		if (verdict > 0)
			printf("not ok - wrote outside its memory: %s\n", current);
	}
}

int main(int argc, char **argv)
{
	const char *n = getenv("ONX_ABSURD");
	const char *plus = n ? strchr(n, '+') : NULL;
	const unsigned first = plus ? (unsigned)strtoul(n, NULL, 10) : 0;
	const unsigned tries = plus ? (unsigned)strtoul(plus + 1, NULL, 10) : n ? (unsigned)strtoul(n, NULL, 10) : 60;
	struct tally t = { 0 };

	signal(SIGSEGV, crashed);
	signal(SIGFPE, crashed);
	signal(SIGABRT, crashed);
	signal(SIGALRM, crashed);
	for (size_t i = 0; i < op_n_cases; i++) {
		alarm(60);              /* a kernel that never ends is named, too */
		if (op_case_picked(&op_cases[i], argc, argv))
			try_case(&t, &op_cases[i], i, first, tries);
	}
	printf("%d changed cases, %d ran, %d failed\n", t.cases, t.runs, t.bad);
	return t.bad != 0 || t.cases == 0;
}
