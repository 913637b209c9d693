/* tools/score.c -- scores for people, programs and pages. */
#include <math.h>
#include <stdio.h>
#include "base/json.h"
#include "report/html.h"
#include "report/svg.h"
#include "score.h"

enum { MATRIX_COLUMNS = 20 };           /* larger matrices are left to --json and --html */

static const char *name_of(const struct onx_score_names *n, uint32_t c, char *buf, size_t size)
{
	if (c < n->n_label && n->label[c])
		return n->label[c];
	snprintf(buf, size, "%u", c);
	return buf;
}

/* Means over the classes that occur. */
static struct onx_class_score macro(const struct onx_score *s)
{
	struct onx_class_score sum = { 0 };
	uint32_t n = 0;

	for (uint32_t c = 0; c < s->n_class; c++) {
		struct onx_class_score one;

		onx_score_class(s, c, &one);
		if (!one.support)
			continue;
		sum.precision += one.precision;
		sum.recall += one.recall;
		sum.f1 += one.f1;
		n++;
	}
	if (n) {
		sum.precision /= n;
		sum.recall /= n;
		sum.f1 /= n;
	}
	return sum;
}

static void class_text(const struct onx_score *s, const struct onx_score_names *n, struct onx_buf *out)
{
	struct onx_class_score mean = macro(s);

	onx_buf_fmt(out, "\n%-24s %9s %9s %9s %9s\n", "class", "precision", "recall", "F1", "samples");
	for (uint32_t c = 0; c < s->n_class; c++) {
		struct onx_class_score one;
		char buf[16];

		onx_score_class(s, c, &one);
		onx_buf_fmt(out, "%-24s %9.4f %9.4f %9.4f %9llu\n", name_of(n, c, buf, sizeof buf),
			    one.precision, one.recall, one.f1, (unsigned long long)one.support);
	}
	onx_buf_fmt(out, "%-24s %9.4f %9.4f %9.4f %9llu\n", "mean", mean.precision, mean.recall, mean.f1,
		    (unsigned long long)s->n);
}

static void matrix_text(const struct onx_score *s, const struct onx_score_names *n, struct onx_buf *out)
{
	if (!s->confusion || s->n_class > MATRIX_COLUMNS)
		return;
	onx_buf_str(out, "\ntruth (rows), guess (columns, in the same order)\n");
	for (uint32_t i = 0; i < s->n_class; i++) {
		char buf[16];

		onx_buf_fmt(out, "%-16.16s", name_of(n, i, buf, sizeof buf));
		for (uint32_t j = 0; j < s->n_class; j++)
			onx_buf_fmt(out, " %5llu",
				    (unsigned long long)s->confusion[(size_t)i * s->n_class + j]);
		onx_buf_str(out, "\n");
	}
}

void onx_score_text(const struct onx_score *s, const struct onx_score_names *n, struct onx_buf *out)
{
	onx_buf_fmt(out, "samples   %llu\nloss      %.6g\n", (unsigned long long)s->n, onx_score_loss(s));
	if (s->n_class == 0) {
		onx_buf_fmt(out, "mean absolute error      %.6g\nroot mean square error   %.6g\n"
			    "R squared                %.6g\n", onx_score_mae(s), onx_score_rmse(s),
			    onx_score_r2(s));
		return;
	}
	onx_buf_fmt(out, "accuracy  %.2f %% (%llu of %llu; standard error %.2f %%)\n",
		    onx_score_accuracy(s) * 100, (unsigned long long)s->correct, (unsigned long long)s->n,
		    onx_score_accuracy_se(s) * 100);
	if (!s->confusion)
		return;
	class_text(s, n, out);
	matrix_text(s, n, out);
}

static void classes_json(const struct onx_score *s, const struct onx_score_names *n, struct onx_json *top)
{
	struct onx_json *list = onx_json_array(), *matrix = onx_json_array();

	for (uint32_t c = 0; c < s->n_class; c++) {
		struct onx_json *o = onx_json_object(), *row = onx_json_array();
		struct onx_class_score one;
		char buf[16];

		onx_score_class(s, c, &one);
		onx_json_str(o, "class", name_of(n, c, buf, sizeof buf));
		onx_json_real(o, "precision", one.precision);
		onx_json_real(o, "recall", one.recall);
		onx_json_real(o, "f1", one.f1);
		onx_json_int(o, "samples", (int64_t)one.support);
		onx_json_put(list, NULL, o);
		for (uint32_t j = 0; j < s->n_class; j++)
			onx_json_int(row, NULL, (int64_t)s->confusion[(size_t)c * s->n_class + j]);
		onx_json_put(matrix, NULL, row);
	}
	onx_json_put(top, "classes", list);
	onx_json_put(top, "confusion", matrix);
}

int onx_score_json(const struct onx_score *s, const struct onx_score_names *n, struct onx_buf *out,
		   struct onx_err *e)
{
	struct onx_json *top = onx_json_object();
	int rc;

	onx_json_int(top, "samples", (int64_t)s->n);
	onx_json_real(top, "loss", onx_score_loss(s));
	if (s->n_class) {
		onx_json_real(top, "accuracy", onx_score_accuracy(s));
		onx_json_real(top, "accuracy_se", onx_score_accuracy_se(s));
		onx_json_int(top, "correct", (int64_t)s->correct);
		if (s->confusion)
			classes_json(s, n, top);
	} else {
		onx_json_real(top, "mae", onx_score_mae(s));
		onx_json_real(top, "rmse", onx_score_rmse(s));
		onx_json_real(top, "r2", onx_score_r2(s));
	}
	rc = onx_json_print(top, true, out, e);
	onx_json_free(top);
	onx_buf_str(out, "\n");
	return rc;
}

static void class_rows(const struct onx_score *s, const struct onx_score_names *n, struct onx_buf *out)
{
	onx_buf_str(out, "<h2>Classes</h2>\n<table><tr><th>class</th><th>precision</th><th>recall</th><th>F1</th>"
		    "<th>samples</th></tr>\n");
	for (uint32_t c = 0; c < s->n_class; c++) {
		struct onx_class_score one;
		char buf[16];

		onx_score_class(s, c, &one);
		onx_buf_str(out, "<tr><td>");
		onx_html_text(out, name_of(n, c, buf, sizeof buf));
		onx_buf_fmt(out, "</td><td>%.4f</td><td>%.4f</td><td>%.4f</td><td>%llu</td></tr>\n",
			    one.precision, one.recall, one.f1, (unsigned long long)one.support);
	}
	onx_buf_str(out, "</table>\n");
}

int onx_score_html(const struct onx_score *s, const struct onx_score_names *n, const char *title,
		   struct onx_buf *out, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	const char **name = ONX_NEWS(&mem, const char *, (size_t)s->n_class + 1);

	if (!name)
		return onx_nomem(e, (double)s->n_class * sizeof *name, "the page");
	onx_html_begin(out, title);
	onx_buf_fmt(out, "<table><tr><th>samples</th><td>%llu</td></tr><tr><th>loss</th><td>%.6g</td></tr>\n",
		    (unsigned long long)s->n, onx_score_loss(s));
	if (s->n_class)
		onx_buf_fmt(out, "<tr><th>accuracy</th><td>%.2f&nbsp;%% &plusmn; %.2f&nbsp;%%</td></tr></table>\n",
			    onx_score_accuracy(s) * 100, onx_score_accuracy_se(s) * 100);
	else
		onx_buf_fmt(out, "<tr><th>mean absolute error</th><td>%.6g</td></tr><tr><th>root mean square error"
			    "</th><td>%.6g</td></tr><tr><th>R&sup2;</th><td>%.6g</td></tr></table>\n",
			    onx_score_mae(s), onx_score_rmse(s), onx_score_r2(s));
	if (s->n_class && s->confusion) {
		for (uint32_t c = 0; c < s->n_class; c++) {
			char buf[16];

			name[c] = onx_dup(&mem, name_of(n, c, buf, sizeof buf));
		}
		class_rows(s, n, out);
		onx_buf_str(out, "<h2>Confusion</h2>\n");
		onx_svg_matrix(out, s->confusion, s->n_class, name);
	}
	onx_html_end(out);
	onx_arena_release(&mem);
	return ONX_OK;
}
