/* tools/steptimes.c -- see the header. */
#include <stdlib.h>
#include <string.h>
#include "steptimes.h"

/* One line: a step, or all steps of one operator, direction and implementation. */
struct row { double seconds, macs, bytes; uint32_t step, count; };

static double bytes_of(const struct onx_plan *p, const uint32_t *id, uint32_t n)
{
	double sum = 0;

	for (uint32_t i = 0; id && i < n; i++)
		if (id[i] != ONX_NONE)
			sum += (double)p->parts * (double)p->tensor[id[i]].view.n * p->tensor[id[i]].view.width;
	return sum;
}

static double traffic(const struct onx_plan *p, const struct onx_step *s)
{
	double sum = bytes_of(p, s->x, s->n_x);

	if (s->back)
		return sum + bytes_of(p, s->dy, s->n_y) + bytes_of(p, s->dx, s->n_x);
	return sum + bytes_of(p, s->y, s->n_y);
}

static int slower(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->seconds != y->seconds)
		return x->seconds < y->seconds ? 1 : -1;
	return x->step < y->step ? -1 : x->step > y->step;
}

static bool alike(const struct onx_step *a, const struct onx_step *b)
{
	return a->op == b->op && a->back == b->back && !strcmp(a->impl, b->impl);
}

static void line(const struct row *r, double total, double runs, struct onx_buf *out)
{
	onx_buf_fmt(out, "%10.3f %5.1f%%", r->seconds / runs * 1e3,
		    total > 0 ? 100 * r->seconds / total : 0);
	if (r->seconds > 0)
		onx_buf_fmt(out, " %8.1f %7.1f", 2e-9 * r->macs * runs / r->seconds,
			    1e-9 * r->bytes * runs / r->seconds);
	else
		onx_buf_fmt(out, " %8s %7s", "-", "-");
}

/* Fills `group` with sums over alike steps; returns how many there are. */
static uint32_t gather(const struct onx_plan *p, const struct row *step, struct row *group)
{
	uint32_t n = 0, k;

	for (uint32_t i = 0; i < p->n_step; i++) {
		for (k = 0; k < n; k++)
			if (alike(&p->step[group[k].step], &p->step[i]))
				break;
		if (k == n)
			group[n++] = (struct row){ .step = i };
		group[k].seconds += step[i].seconds;
		group[k].macs += step[i].macs;
		group[k].bytes += step[i].bytes;
		group[k].count++;
	}
	return n;
}

static void print(const struct onx_plan *p, const struct row *step, const struct row *group, uint32_t n,
		  double total, double runs, struct onx_buf *out)
{
	static const char head[] = "        ms  share  GFLOP/s    GB/s  ";
	char name[160];

	onx_buf_fmt(out, "%soperators\n", head);
	for (uint32_t i = 0; i < n; i++) {
		const struct onx_step *s = &p->step[group[i].step];

		line(&group[i], total, runs, out);
		onx_buf_fmt(out, "  %u x %s%s [%s]\n", group[i].count,
			    s->op ? s->op->type : "sums of gradients", s->back ? " backward" : "",
			    s->impl);
	}
	onx_buf_fmt(out, "%ssteps\n", head);
	for (uint32_t i = 0; i < p->n_step; i++) {
		const struct onx_step *s = &p->step[step[i].step];

		line(&step[i], total, runs, out);
		onx_buf_fmt(out, "  %s%s [%s]\n", onx_node_text(p->facts->g, s->node, name, sizeof name),
			    s->back ? " backward" : "", s->impl);
	}
	onx_buf_fmt(out, "%10.3f  all %u steps, the average of %.0f runs\n", total / runs * 1e3, p->n_step, runs);
}

int onx_step_times(const struct onx_plan *p, const double *seconds, double runs, struct onx_buf *out,
		   struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct row *step = ONX_NEWS(&mem, struct row, p->n_step + 1);
	struct row *group = ONX_NEWS(&mem, struct row, p->n_step + 1);
	double total = 0;

	if (!step || !group) {
		onx_arena_release(&mem);
		return onx_nomem(e, p->n_step * sizeof *step, "the profile");
	}
	for (uint32_t i = 0; i < p->n_step; i++) {
		step[i] = (struct row){ seconds[i], p->step[i].macs, traffic(p, &p->step[i]), i, 1 };
		total += seconds[i];
	}
	const uint32_t n = gather(p, step, group);

	qsort(step, p->n_step, sizeof *step, slower);
	qsort(group, n, sizeof *group, slower);
	print(p, step, group, n, total, runs, out);
	onx_arena_release(&mem);
	return ONX_OK;
}
