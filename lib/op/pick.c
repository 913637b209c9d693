/* op/pick.c -- NonMaxSuppression and Unique: how many results there are depends on the numbers, so these
 * must be known while planning, and the results are found there. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/real.h"
#include "op/infer.h"

static int want_value(const struct onx_infer *s, int i, struct onx_err *e)
{
	if (!onx_has_in(s, i) || s->in[i].value)
		return ONX_OK;
	return onx_fail(e, ONX_UNSUP, "input %d is computed while running, and the shape of the result depends "
			"on it", i);
}

/* ---- NonMaxSuppression ---- */

struct nms { int64_t centre; };
static const struct onx_field nms_field[] = {
	{ "center_point_box", F_INT, offsetof(struct nms, centre), .def = "0", .min = 0, .max = 1,
	  .help = "0: boxes are two corners y, x; 1: centre x, y, width, height" },
	{ .name = NULL }
};
static const struct onx_table nms_attr = { "NonMaxSuppression", sizeof(struct nms), nms_field, .check = NULL };

struct picked { int64_t *v; size_t n; };        /* n int64 */
struct box { double y0, x0, y1, x1; };

static struct box box_at(const struct onx_view *boxes, size_t at, bool centre)
{
	double v[4];

	for (size_t k = 0; k < 4; k++)
		v[k] = onx_view_real(boxes, 4 * at + k);
	if (centre)
		return (struct box){ v[1] - v[3] / 2, v[0] - v[2] / 2, v[1] + v[3] / 2, v[0] + v[2] / 2 };
	return (struct box){ fmin(v[0], v[2]), fmin(v[1], v[3]), fmax(v[0], v[2]), fmax(v[1], v[3]) };
}

/* Intersection over union. */
static double overlap(const struct box *a, const struct box *b)
{
	const double h = fmin(a->y1, b->y1) - fmax(a->y0, b->y0), w = fmin(a->x1, b->x1) - fmax(a->x0, b->x0);
	const double both = h > 0 && w > 0 ? h * w : 0;
	const double all = (a->y1 - a->y0) * (a->x1 - a->x0) + (b->y1 - b->y0) * (b->x1 - b->x0) - both;

	return all > 0 ? both / all : 0;
}

struct scored { double score; size_t at; };

static int by_score(const void *a, const void *b)
{
	const struct scored *p = a, *q = b;

	if (p->score != q->score)
		return p->score > q->score ? -1 : 1;
	return (p->at > q->at) - (p->at < q->at);
}

struct nms_job {
	const struct onx_view *boxes, *scores;
	size_t n, most;
	double iou, least;
	bool thresholded, centre;
	struct scored *order;
	size_t *kept;
};

/* Greedy: from the best score on, a box stays if it overlaps no box that stays by more than iou. */
static size_t suppress(const struct nms_job *j, size_t batch, size_t row)
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < j->n; i++) {
		const double score = onx_view_real(j->scores, row * j->n + i);
		if (!j->thresholded || score > j->least)
			j->order[n++] = (struct scored){ score, i };
	}
	qsort(j->order, n, sizeof *j->order, by_score);
	for (size_t i = 0; i < n && kept < j->most; i++) {
		const struct box a = box_at(j->boxes, batch * j->n + j->order[i].at, j->centre);
		bool stays = true;
		for (size_t k = 0; stays && k < kept; k++) {
			const struct box b = box_at(j->boxes, batch * j->n + j->kept[k], j->centre);
			stays = overlap(&a, &b) <= j->iou;
		}
		if (stays)
			j->kept[kept++] = j->order[i].at;
	}
	return kept;
}

static int nms_read(struct onx_infer *s, struct nms_job *j, struct onx_err *e)
{
	const struct onx_shape *b = &s->in[0].shape, *c = &s->in[1].shape;
	const int64_t *v = NULL;
	size_t n = 0;
	int rc = ONX_OK;

	for (int i = 0; rc == ONX_OK && i < 5; i++)
		rc = want_value(s, i, e);
	if (rc < 0 || (rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_real(s, 1, e)) < 0 ||
	    (rc = onx_want_rank(s, 0, 3, 3, e)) < 0 || (rc = onx_want_rank(s, 1, 3, 3, e)) < 0 ||
	    (onx_has_in(s, 2) && (rc = onx_in_ints(s, 2, &v, &n, e)) < 0) ||
	    (onx_has_in(s, 3) && (rc = onx_in_real(s, 3, &j->iou, e)) < 0) ||
	    (onx_has_in(s, 4) && (rc = onx_in_real(s, 4, &j->least, e)) < 0))
		return rc;
	if (b->dim[0] != c->dim[0] || b->dim[1] != c->dim[2] || b->dim[2] != 4)
		return onx_fail(e, ONX_SHAPE, "%" PRId64 " x %" PRId64 " boxes of %" PRId64 " numbers, scores for %"
				PRId64 " x %" PRId64, b->dim[0], b->dim[1], b->dim[2], c->dim[0], c->dim[2]);
	j->thresholded = onx_has_in(s, 4);
	j->most = n == 1 && v[0] > 0 ? (size_t)v[0] : 0;
	j->n = (size_t)b->dim[1];
	j->boxes = s->in[0].value;
	j->scores = s->in[1].value;
	j->order = ONX_NEWS(s->mem, struct scored, j->n + 1);
	j->kept = ONX_NEWS(s->mem, size_t, j->n + 1);
	return j->order && j->kept ? ONX_OK : onx_nomem(e, 24.0 * (double)j->n, "boxes");
}

static int nms_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct nms_job j = { .centre = ((const struct nms *)attr)->centre == 1 };
	struct picked *g = ONX_NEW(s->mem, struct picked);
	int rc = nms_read(s, &j, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "NonMaxSuppression");
	if (rc < 0)
		return rc;
	const size_t batches = (size_t)s->in[1].shape.dim[0], classes = (size_t)s->in[1].shape.dim[1];
	const size_t each = j.most < j.n ? j.most : j.n;
	g->v = onx_alloc(s->mem, batches * classes * each + 1, 3 * sizeof(int64_t));
	if (!g->v)
		return onx_nomem(e, 24.0 * (double)(batches * classes) * (double)each, "boxes that stay");
	for (size_t row = 0; row < batches * classes; row++) {
		const size_t kept = suppress(&j, row / classes, row);
		for (size_t k = 0; k < kept; k++) {
			g->v[g->n++] = (int64_t)(row / classes);
			g->v[g->n++] = (int64_t)(row % classes);
			g->v[g->n++] = (int64_t)j.kept[k];
		}
	}
	const struct onx_shape y = { 2, { (int64_t)(g->n / 3), 3 } };
	s->geo = g;
	onx_set_out(s, 0, ONX_INT64, &y);
	return ONX_OK;
}

static void nms_forward(const struct onx_call *c)
{
	const struct picked *g = c->geo;

	if (g->n > 0)
		memcpy(c->y[0].v, g->v, g->n * sizeof *g->v);
}

/* ---- Unique ---- */

struct unique { int64_t axis; bool sorted; uint64_t given; };
static const struct onx_field unique_field[] = {
	{ "axis", F_INT, offsetof(struct unique, axis), .def = "0",
	  .help = "axis whose slices are compared; default: the elements of the whole tensor" },
	{ "sorted", F_BOOL, offsetof(struct unique, sorted), .def = "1", .help = "in order, or as they come" },
	{ .name = NULL }
};
static const struct onx_table unique_attr = { "Unique", sizeof(struct unique), unique_field,
	.given = offsetof(struct unique, given) };

/* Slice i: elements (o, i, k) of [outer][n][inner].  first, inverse, count: the last three outputs. */
struct unique_geo {
	const struct onx_view *x;
	size_t outer, n, inner, found;
	int64_t *first, *inverse, *count;
};

/* Complex numbers in the order of their real parts, equal ones in that of the imaginary parts. */
static int compare_complex(const struct onx_view *x, size_t p, size_t q)
{
	const bool twice = x->type == ONX_COMPLEX128;

	for (size_t k = 0; k < 2; k++) {
		const double a = twice ? ((const double *)x->v)[2 * p + k] : (double)((const float *)x->v)[2 * p + k];
		const double b = twice ? ((const double *)x->v)[2 * q + k] : (double)((const float *)x->v)[2 * q + k];
		if (a > b || a < b)
			return a > b ? 1 : -1;
	}
	return 0;
}

static int compare_at(const struct onx_view *x, size_t p, size_t q)
{
	if (onx_dtype_class(x->type) == ONX_CLASS_CPLX)
		return compare_complex(x, p, q);
	if (x->type == ONX_STRING)
		return strcmp(((const char *const *)x->v)[p], ((const char *const *)x->v)[q]);
	if (onx_dtype_real(x->type)) {
		const double a = onx_view_real(x, p), b = onx_view_real(x, q);
		return (a > b) - (a < b);
	}
	const int64_t flip = x->type == ONX_UINT64 ? INT64_MIN : 0;     /* unsigned order as signed */
	const int64_t a = onx_view_int(x, p) ^ flip, b = onx_view_int(x, q) ^ flip;
	return (a > b) - (a < b);
}

static int compare_slices(const struct unique_geo *g, int64_t i, int64_t j)
{
	for (size_t o = 0; o < g->outer; o++)
		for (size_t k = 0; k < g->inner; k++) {
			const size_t base = o * g->n * g->inner + k;
			const int c = compare_at(g->x, base + (size_t)i * g->inner, base + (size_t)j * g->inner);
			if (c != 0)
				return c;
		}
	return 0;
}

static int by_slice(const void *a, const void *b, void *ctx)
{
	const int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
	const int c = compare_slices(ctx, i, j);

	return c != 0 ? c : (i > j) - (i < j);
}

static int by_place(const void *a, const void *b, void *ctx)
{
	const struct unique_geo *g = ctx;
	const int64_t i = g->first[*(const int64_t *)a], j = g->first[*(const int64_t *)b];

	return (i > j) - (i < j);
}

/* order: n places to sort in, then n for the way back. */
static void find_unique(struct unique_geo *g, int64_t *order, bool sorted)
{
	int64_t *rank = order + g->n;

	for (size_t i = 0; i < g->n; i++)
		order[i] = (int64_t)i;
	qsort_r(order, g->n, sizeof *order, by_slice, g);
	for (size_t i = 0; i < g->n; i++) {
		if (i == 0 || compare_slices(g, order[i - 1], order[i]) != 0) {
			g->first[g->found] = order[i];          /* the smallest place of equal slices */
			g->count[g->found++] = 0;
		}
		g->count[g->found - 1]++;
		g->inverse[order[i]] = (int64_t)g->found - 1;
	}
	if (sorted)
		return;
	for (size_t i = 0; i < g->found; i++)
		order[i] = (int64_t)i;
	qsort_r(order, g->found, sizeof *order, by_place, g);
	for (size_t i = 0; i < g->found; i++)
		rank[order[i]] = (int64_t)i;
	for (size_t i = 0; i < g->n; i++)
		g->inverse[i] = rank[g->inverse[i]];
	for (size_t i = 0; i < g->found; i++)
		g->count[i] = 0;
	for (size_t i = g->n; i-- > 0; ) {
		g->first[g->inverse[i]] = (int64_t)i;
		g->count[g->inverse[i]]++;
	}
}

static int unique_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct unique *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	const bool flat = !onx_given(&unique_attr, a, "axis");
	struct unique_geo *g = ONX_NEW(s->mem, struct unique_geo);
	struct onx_shape y = *x;
	size_t n;
	int axis = 0, rc = want_value(s, 0, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "Unique");
	if (rc < 0 || (rc = onx_count(x->rank, x->dim, &n, e)) < 0 ||
	    (!flat && (rc = onx_axis(a->axis, x->rank, &axis, e)) < 0))
		return rc;
	if (flat)
		y = (struct onx_shape){ .rank = 1, .dim = { (int64_t)n } };
	*g = (struct unique_geo){ .x = s->in[0].value, .outer = 1, .n = (size_t)y.dim[axis], .inner = 1 };
	for (int d = 0; d < y.rank; d++)
		*(d < axis ? &g->outer : &g->inner) *= d == axis ? 1 : (size_t)y.dim[d];
	int64_t *places = onx_alloc(s->mem, g->n + 1, 5 * sizeof(int64_t));
	if (!places)
		return onx_nomem(e, 40.0 * (double)g->n, "unique slices");
	g->first = places;
	g->inverse = places + g->n;
	g->count = places + 2 * g->n;
	find_unique(g, places + 3 * g->n, a->sorted);
	const struct onx_shape list = { 1, { (int64_t)g->found } }, all = { 1, { (int64_t)g->n } };
	y.dim[axis] = (int64_t)g->found;
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	onx_set_out(s, 1, ONX_INT64, &list);
	onx_set_out(s, 2, ONX_INT64, &all);
	onx_set_out(s, 3, ONX_INT64, &list);
	return ONX_OK;
}

static void unique_forward(const struct onx_call *c)
{
	const struct unique_geo *g = c->geo;
	const int64_t *list[] = { NULL, g->first, g->inverse, g->count };
	const size_t block = g->inner * c->x[0].width;

	for (size_t o = 0; c->y[0].v && c->y[0].n > 0 && o < g->outer; o++)
		for (size_t i = 0; i < g->found; i++)
			memcpy((char *)c->y[0].v + (o * g->found + i) * block,
			       (const char *)c->x[0].v + (o * g->n + (size_t)g->first[i]) * block, block);
	for (int i = 1; i < c->n_y && i < 4; i++)
		if (c->y[i].v && c->y[i].n > 0)
			memcpy(c->y[i].v, list[i], c->y[i].n * sizeof(int64_t));
}

const struct onx_op ONX_R(onx_ops_pick)[] = {
	{ .domain = "", .type = "NonMaxSuppression", .since = 10, .min_in = 2, .max_in = 5, .min_out = 1,
	  .max_out = 1, .attr = &nms_attr, .infer = nms_infer, .forward = nms_forward },
	{ .domain = "", .type = "Unique", .since = 11, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 4,
	  .attr = &unique_attr, .infer = unique_infer, .forward = unique_forward },
	{ .type = NULL }
};
