/* report/report.c -- the sections of the page, as rows. */
#include <math.h>
#include "report/html.h"
#include "report/report.h"
#include "report/svg.h"

struct page { const struct onx_run *run; size_t n; struct onx_arena *mem; struct onx_buf *out; };

static void number(struct onx_buf *out, double v, const char *fmt)
{
	onx_buf_str(out, "<td>");
	if (!isfinite(v))
		onx_buf_str(out, "&ndash;");
	else if (*fmt == '%')
		onx_buf_fmt(out, "%.2f&nbsp;%%", v * 100);
	else if (*fmt == 'i')
		onx_buf_fmt(out, "%.0f", v);
	else if (*fmt == 'm')
		onx_buf_fmt(out, "%.1f&nbsp;MiB", v / (1 << 20));
	else if (*fmt == 's')
		onx_buf_fmt(out, "%.1f&nbsp;s", v);
	else
		onx_buf_fmt(out, "%.5g", v);
	onx_buf_str(out, "</td>");
}

static const struct onx_epoch *best(const struct onx_run *r)
{
	const struct onx_epoch *b = NULL;

	for (size_t i = 0; i < r->n_epoch; i++)
		if (r->epoch[i].best)
			b = &r->epoch[i];
	return b;
}

static const char *ending(const struct onx_run *r)
{
	return r->cut ? "cut off in the middle of a line" : !r->ended ? "no end in the log" :
	       r->stopped ? "stopped by the user" : "ran to its end";
}

static int summary(struct page *p, struct onx_err *e)
{
	(void)e;
	onx_buf_str(p->out, "<table><tr><th>run</th><th>weights</th><th>batch</th><th>rate</th><th>epochs</th>"
		    "<th>peak memory</th><th>time</th><th>best epoch</th><th>val. loss</th>"
		    "<th>val. accuracy</th><th>ending</th></tr>\n");
	for (size_t i = 0; i < p->n; i++) {
		const struct onx_run *r = &p->run[i];
		const struct onx_epoch *b = best(r);

		onx_buf_str(p->out, "<tr><td>");
		onx_html_text(p->out, r->name);
		onx_buf_str(p->out, "</td>");
		number(p->out, r->weights, "i");
		number(p->out, r->batch, "i");
		number(p->out, r->lr, "g");
		number(p->out, (double)r->n_epoch, "i");
		number(p->out, r->peak_bytes, "m");
		number(p->out, r->seconds, "s");
		number(p->out, b ? b->epoch : r->best_epoch, "i");
		number(p->out, b ? b->val_loss : NAN, "g");
		number(p->out, b ? b->val_accuracy : r->val_accuracy, "%");
		onx_buf_fmt(p->out, "<td>%s</td></tr>\n", ending(r));
	}
	onx_buf_str(p->out, "</table>\n");
	return ONX_OK;
}

/* The loss of every step, faint, and its exponential mean (half of the weight on the last 2 % of the
 * steps, corrected for the start as Adam's moments are). */
static int losses(struct page *p, struct onx_err *e)
{
	struct onx_line *line = ONX_NEWS(p->mem, struct onx_line, 2 * p->n + 1);
	size_t k = 0;

	if (!line)
		return onx_nomem(e, 0, "the report");
	for (size_t i = 0; i < p->n; i++) {
		const struct onx_series *s = &p->run[i].loss;
		double *mean = ONX_NEWS(p->mem, double, s->n + 1), sum = 0, weight = 0;
		double keep = pow(0.5, 1 / fmax(1, 0.02 * (double)s->n));

		if (!mean)
			return onx_nomem(e, (double)s->n * sizeof *mean, "the report");
		for (size_t j = 0; j < s->n; j++) {
			if (isfinite(s->y[j])) {
				sum = keep * sum + (1 - keep) * s->y[j];
				weight = keep * weight + (1 - keep);
			}
			mean[j] = weight > 0 ? sum / weight : NAN;
		}
		line[k++] = (struct onx_line){ .x = s->x, .y = s->y, .n = s->n, .color = (int)i, .faint = true };
		line[k++] = (struct onx_line){ .name = p->n > 1 ? p->run[i].name : NULL, .x = s->x, .y = mean,
					       .n = s->n, .color = (int)i };
	}
	onx_svg_plot(p->out, "training loss", "step", line, k);
	return ONX_OK;
}

static int rates(struct page *p, struct onx_err *e)
{
	struct onx_line *line = ONX_NEWS(p->mem, struct onx_line, p->n + 1);

	if (!line)
		return onx_nomem(e, 0, "the report");
	for (size_t i = 0; i < p->n; i++)
		line[i] = (struct onx_line){ .name = p->n > 1 ? p->run[i].name : NULL, .x = p->run[i].rate.x,
					     .y = p->run[i].rate.y, .n = p->run[i].rate.n, .color = (int)i };
	onx_svg_plot(p->out, "learning rate", "step", line, p->n);
	return ONX_OK;
}

/* Two columns of the epoch table, training and validation. */
static int by_epoch(struct page *p, const char *title, size_t train, size_t val, struct onx_err *e)
{
	struct onx_line *line = ONX_NEWS(p->mem, struct onx_line, 2 * p->n + 1);
	const size_t stride = sizeof(struct onx_epoch) / sizeof(double);
	size_t k = 0;

	_Static_assert(sizeof(struct onx_epoch) % sizeof(double) == 0, "rows are a whole number of doubles");
	if (!line)
		return onx_nomem(e, 0, "the report");
	for (size_t i = 0; i < p->n; i++) {
		const struct onx_run *r = &p->run[i];
		const char *row = (const char *)r->epoch;

		if (!r->n_epoch)
			continue;
		line[k++] = (struct onx_line){ .name = p->n > 1 ? NULL : "training", .x = &r->epoch->epoch,
			.y = (const double *)(const void *)(row + train), .n = r->n_epoch, .stride = stride,
			.color = p->n > 1 ? (int)i : 0, .faint = p->n > 1 };
		line[k++] = (struct onx_line){ .name = p->n > 1 ? r->name : "validation", .x = &r->epoch->epoch,
			.y = (const double *)(const void *)(row + val), .n = r->n_epoch, .stride = stride,
			.color = p->n > 1 ? (int)i : 1, .dots = true };
	}
	onx_svg_plot(p->out, title, "epoch", line, k);
	return ONX_OK;
}

static int epoch_losses(struct page *p, struct onx_err *e)
{
	return by_epoch(p, "loss by epoch", offsetof(struct onx_epoch, loss),
			offsetof(struct onx_epoch, val_loss), e);
}

static int epoch_accuracy(struct page *p, struct onx_err *e)
{
	return by_epoch(p, "accuracy by epoch", offsetof(struct onx_epoch, accuracy),
			offsetof(struct onx_epoch, val_accuracy), e);
}

static int epochs(struct page *p, struct onx_err *e)
{
	(void)e;
	for (size_t i = 0; i < p->n; i++) {
		const struct onx_run *r = &p->run[i];

		if (p->n > 1) {
			onx_buf_str(p->out, "<h3>");
			onx_html_text(p->out, r->name);
			onx_buf_str(p->out, "</h3>\n");
		}
		onx_buf_str(p->out, "<table><tr><th>epoch</th><th>loss</th><th>accuracy</th><th>val. loss</th>"
			    "<th>val. accuracy</th><th>time</th></tr>\n");
		for (size_t k = 0; k < r->n_epoch; k++) {
			const struct onx_epoch *v = &r->epoch[k];

			onx_buf_fmt(p->out, "<tr%s>", v == best(r) ? " class=\"best\"" : "");
			number(p->out, v->epoch, "i");
			number(p->out, v->loss, "g");
			number(p->out, v->accuracy, "%");
			number(p->out, v->val_loss, "g");
			number(p->out, v->val_accuracy, "%");
			number(p->out, v->seconds, "s");
			onx_buf_str(p->out, "</tr>\n");
		}
		onx_buf_str(p->out, "</table>\n");
	}
	return ONX_OK;
}

static const struct { const char *title; int (*write)(struct page *, struct onx_err *); } section[] = {
	{ "Summary", summary }, { "Scores", epoch_accuracy }, { NULL, epoch_losses },
	{ "Steps", losses }, { NULL, rates }, { "Epochs", epochs }
};

int onx_report(const struct onx_run *run, size_t n, struct onx_arena *mem, struct onx_buf *out,
	       struct onx_err *e)
{
	struct page p = { run, n, mem, out };
	int rc = ONX_OK;

	onx_html_begin(out, n == 1 ? "A training run" : "Training runs");
	for (size_t i = 0; rc == ONX_OK && i < sizeof section / sizeof *section; i++) {
		if (section[i].title)
			onx_buf_fmt(out, "<h2>%s</h2>\n", section[i].title);
		rc = section[i].write(&p, e);
	}
	onx_html_end(out);
	return rc;
}
