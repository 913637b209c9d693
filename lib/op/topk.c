/* op/topk.c -- TopK: the k first of each row in order of value; equal values in order of place.
 *
 * Every number has a key, a whole number in the order that is asked for.  Few of many are kept in a heap, whose top
 * most numbers are not compared with one by one: a run of keys of which none goes beyond it is passed over.  Many of
 * all are sorted. */
#include <inttypes.h>
#include <string.h>
#include "kernel/cpu.h"
#include "op/bulk.h"
#include "op/infer.h"
#include "op/walk.h"

/* SHORT: rows that are not worth sorting; FEW: of longer ones, at most that part goes through a heap. */
enum { CHUNK = 256, GLANCE = 32, SIDE_BY_SIDE = 8, SHORT = 128, FEW = 16, PIECE_WORK = 1 << 14 };

struct topk { int64_t axis, k; bool largest, sorted; uint64_t given; };
static const struct onx_field topk_field[] = {
	{ "axis", F_INT, offsetof(struct topk, axis), .def = "-1", .help = "axis that is searched" },
	{ "k", F_INT, offsetof(struct topk, k), .def = "0", .help = "how many (an input from opset 10 on)" },
	{ "largest", F_BOOL, offsetof(struct topk, largest), .def = "1", .help = "the largest, or the smallest" },
	{ "sorted", F_BOOL, offsetof(struct topk, sorted), .def = "1",
	  .help = "in order of value; we always sort" },
	{ .name = NULL }
};
static const struct onx_table topk_attr = { "TopK", sizeof(struct topk), topk_field,
	.given = offsetof(struct topk, given) };

struct topk_geo { size_t outer, n, k, inner; };

static int topk_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct topk *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	const enum onx_class class = onx_dtype_class(s->in[0].type);
	struct topk_geo *g = ONX_NEW(s->mem, struct topk_geo);
	struct onx_shape y = *x;
	int64_t k = a->k;
	int axis, rc = onx_axis(a->axis, x->rank, &axis, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "geometry of TopK");
	if (rc == ONX_OK && onx_has_in(s, 1)) {
		const int64_t *v;
		size_t n;

		rc = onx_in_ints(s, 1, &v, &n, e);
		if (rc == ONX_OK && n != 1)
			rc = onx_fail(e, ONX_SHAPE, "k has %zu elements, wanted 1", n);
		k = rc == ONX_OK ? v[0] : 0;
	}
	if (rc < 0)
		return rc;
	if (class != ONX_CLASS_REAL && class != ONX_CLASS_INT && class != ONX_CLASS_UINT)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, which has no order here",
				onx_dtype_name(s->in[0].type));
	if (k < 0 || k > x->dim[axis])
		return onx_fail(e, ONX_SHAPE, "the first %" PRId64 " of %" PRId64, k, x->dim[axis]);
	y.dim[axis] = k;
	*g = (struct topk_geo){ (size_t)onx_span(x->dim, 0, axis), (size_t)x->dim[axis], (size_t)k,
				(size_t)onx_span(x->dim, axis + 1, x->rank) };
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	if (s->n_out > 1)
		s->out_wanted[1] = true;        /* the gradient reads it */
	onx_set_out(s, 1, ONX_INT64, &y);
	return ONX_OK;
}

/* ---- keys: whole numbers in the order that is asked for, the first the largest ------------------------- */

struct entry { int64_t key; size_t place; };
static bool before(struct entry a, struct entry b) { return a.key > b.key || (a.key == b.key && a.place < b.place); }

/* A real number's bits as a whole number of the same order; NaN counts as larger than every number, -0 is 0. */
ONX_CLONES
static void real_keys(const real *x, size_t step, size_t n, int64_t turn, int64_t *restrict key)
{
#ifdef ONX_F64
	typedef int64_t word;
	const word most = INT64_MAX;
#else
	typedef int32_t word;
	const word most = INT32_MAX;
#endif
	for (size_t i = 0; i < n; i++) {
		const real v = x[i * step] + 0;
		word b;

		memcpy(&b, &v, sizeof b);
		const word ordered = b ^ (b < 0 ? most : 0);
		key[i] = (int64_t)(v == v ? ordered : most) ^ turn;
	}
}

ONX_CLONES
static void whole_keys(const int64_t *x, size_t n, int64_t turn, int64_t *restrict key)
{
	for (size_t i = 0; i < n; i++)
		key[i] = x[i] ^ turn;
}

/* Keys of n elements from `at` on. */
static void keys_of(const struct onx_call *c, size_t at, size_t n, int64_t *key)
{
	const struct topk_geo *g = c->geo;
	const struct onx_view *x = &c->x[0];
	const int64_t turn = ((const struct topk *)c->attr)->largest ? 0 : -1;
	int64_t room[CHUNK];

	if (onx_dtype_class(x->type) == ONX_CLASS_REAL)
		real_keys((const real *)x->v + at, g->inner, n, turn, key);
	else
		whole_keys(onx_bulk_ints(x, at, g->inner, n, room), n,
			   onx_dtype_class(x->type) == ONX_CLASS_UINT ? turn ^ INT64_MIN : turn, key);
}

/* ---- few of many: a heap of the first so far, the last of them on top ---------------------------------- */

/* The heap below `at`: no parent comes before its children. */
static void sift(struct entry *heap, size_t n, size_t at)
{
	const struct entry e = heap[at];

	for (size_t c; (c = 2 * at + 1) < n; at = c) {
		if (c + 1 < n && before(heap[c], heap[c + 1]))
			c++;
		if (!before(e, heap[c]))
			break;
		heap[at] = heap[c];
	}
	heap[at] = e;
}

ONX_CLONES
static bool any_beyond(const int64_t *key, size_t n, int64_t limit)
{
	int64_t most = key[0];

	for (size_t i = 1; i < n; i++)
		most = key[i] > most ? key[i] : most;
	return most > limit;
}

/* Keys of places from..from + n: what comes before the heap's top takes its place.  have: entries so far, of k. */
static size_t take(struct entry *heap, size_t have, size_t k, const int64_t *key, size_t from, size_t n)
{
	size_t i = 0;

	for (; have < k && i < n; i++) {
		heap[have++] = (struct entry){ key[i], from + i };
		for (size_t at = k / 2; have == k && at-- > 0; )
			sift(heap, k, at);
	}
	for (size_t end; i < n; i = end) {
		end = n - i < GLANCE ? n : i + GLANCE;
		if (!any_beyond(key + i, end - i, heap[0].key))
			continue;
		for (size_t j = i; j < end; j++)
			if (key[j] > heap[0].key) {
				heap[0] = (struct entry){ key[j], from + j };
				sift(heap, k, 0);
			}
	}
	return have;
}

/* From a heap to the order that is asked for. */
static void unheap(struct entry *heap, size_t k)
{
	for (size_t left = k; left > 1; ) {
		const struct entry last = heap[0];

		heap[0] = heap[--left];
		heap[left] = last;
		sift(heap, left, 0);
	}
}

/* ---- many of all: sorted byte by byte of the keys ------------------------------------------------------ */

/* n entries in order of place into order of keys, the largest first; equal ones stay as they are.  Returns where they
 * are: in e or in `other`. */
static struct entry *sort(struct entry *e, struct entry *other, size_t n)
{
	static const int64_t sign = INT64_MIN;

	for (int shift = 0; shift < 64; shift += 8) {
		size_t count[256] = { 0 }, to = 0;

		for (size_t i = 0; i < n; i++)
			count[(uint64_t)~(e[i].key ^ sign) >> shift & 255]++;
		if (count[(uint64_t)~(e[0].key ^ sign) >> shift & 255] == n)
			continue;               /* this byte is the same everywhere */
		for (int b = 0; b < 256; b++) {
			const size_t many = count[b];

			count[b] = to;
			to += many;
		}
		for (size_t i = 0; i < n; i++)
			other[count[(uint64_t)~(e[i].key ^ sign) >> shift & 255]++] = e[i];
		struct entry *const t = e;
		e = other;
		other = t;
	}
	return e;
}

/* ---- rows ------------------------------------------------------------------------------------------- */

static bool sorts(const struct topk_geo *g) { return g->n > SHORT && g->k > g->n / FEW; }

static size_t room_of(const struct topk_geo *g)
{
	return (sorts(g) ? 2 * g->n : SIDE_BY_SIDE * g->k) * sizeof(struct entry);
}

static size_t topk_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return backward ? 0 : (size_t)threads * room_of(s->geo);
}

/* The k first of column `in` of `outer`. */
static void put(const struct onx_call *c, size_t outer, size_t in, const struct entry *e)
{
	const struct topk_geo *g = c->geo;
	const struct onx_view *y = &c->y[0], *place = &c->y[1];
	const size_t w = c->x[0].width, from = outer * g->n * g->inner + in;

	for (size_t k = 0; k < g->k; k++) {
		const size_t to = (outer * g->k + k) * g->inner + in;

		if (y->v)
			memcpy((char *)y->v + to * w,
			       (const char *)c->x[0].v + (from + e[k].place * g->inner) * w, w);
		if (place->v)
			((int64_t *)place->v)[to] = (int64_t)e[k].place;
	}
}

static void sort_column(const struct onx_call *c, size_t outer, size_t in, struct entry *room)
{
	const struct topk_geo *g = c->geo;
	int64_t key[CHUNK];

	for (size_t i = 0; i < g->n; i += CHUNK) {
		const size_t n = g->n - i < CHUNK ? g->n - i : CHUNK;

		keys_of(c, (outer * g->n + i) * g->inner + in, n, key);
		for (size_t j = 0; j < n; j++)
			room[i + j] = (struct entry){ key[j], i + j };
	}
	put(c, outer, in, sort(room, room + g->n, g->n));
}

/* Columns that lie side by side are searched together, as they share lines of the cache. */
static void search_columns(const struct onx_call *c, size_t outer, size_t in, size_t columns, struct entry *room)
{
	const struct topk_geo *g = c->geo;
	size_t have[SIDE_BY_SIDE] = { 0 };
	int64_t key[CHUNK];

	for (size_t i = 0; i < g->n; i += CHUNK) {
		const size_t n = g->n - i < CHUNK ? g->n - i : CHUNK;

		for (size_t j = 0; j < columns; j++) {
			keys_of(c, (outer * g->n + i) * g->inner + in + j, n, key);
			have[j] = take(room + j * g->k, have[j], g->k, key, i, n);
		}
	}
	for (size_t j = 0; j < columns; j++) {
		unheap(room + j * g->k, g->k);
		put(c, outer, in + j, room + j * g->k);
	}
}

/* Groups of columns, and how many are a piece. */
static size_t groups_of(const struct topk_geo *g) { return onx_pieces(g->inner, SIDE_BY_SIDE); }

static size_t grain_of(const struct topk_geo *g)
{
	const size_t work = g->n * (g->inner < SIDE_BY_SIDE ? g->inner : SIDE_BY_SIDE);

	return work < PIECE_WORK ? PIECE_WORK / work : 1;
}

static void topk_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = ctx;
	const struct topk_geo *g = c->geo;
	struct entry *room = (struct entry *)((char *)c->scratch + (size_t)worker * room_of(g));
	const size_t groups = groups_of(g);
	size_t lo, hi;

	onx_piece(g->outer * groups, grain_of(g), piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++) {
		const size_t in = i % groups * SIDE_BY_SIDE;
		const size_t columns = g->inner - in < SIDE_BY_SIDE ? g->inner - in : SIDE_BY_SIDE;

		if (!sorts(g))
			search_columns(c, i / groups, in, columns, room);
		for (size_t j = 0; sorts(g) && j < columns; j++)
			sort_column(c, i / groups, in + j, room);
	}
}

static void topk_forward(const struct onx_call *c)
{
	const struct topk_geo *g = c->geo;
	struct onx_call copy = *c;

	if (g->k > 0 && g->inner > 0)
		onx_parallel(c->pool, onx_pieces(g->outer * groups_of(g), grain_of(g)), topk_piece, &copy);
}

/* dx at the places that were found; zero elsewhere. */
static void topk_backward(const struct onx_call *c)
{
	const struct topk_geo *g = c->geo;
	const int64_t *place = c->y[1].v;
	const real *dy = c->dy[0].v;
	real *dx = c->dx[0].v;

	if (!dx)
		return;
	if (!c->dx[0].add)
		onx_fill(dx, c->dx[0].n, NULL, sizeof(real));
	for (size_t o = 0; dy && o < g->outer; o++)
		for (size_t k = 0; k < g->k; k++)
			for (size_t i = 0; i < g->inner; i++) {
				const size_t from = (o * g->k + k) * g->inner + i;
				dx[(o * g->n + (size_t)place[from]) * g->inner + i] += dy[from];
			}
}

const struct onx_op ONX_R(onx_ops_topk)[] = {
	{ .domain = "", .type = "TopK", .since = 1, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 2,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .keep = ONX_KEEP_Y(1), .attr = &topk_attr,
	  .infer = topk_infer, .scratch = topk_scratch, .forward = topk_forward, .backward = topk_backward },
	{ .type = NULL }
};
