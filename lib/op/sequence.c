/* op/sequence.c -- sequences and optionals.  What they hold is not laid out by a plan: each rule makes its
 * result while it infers, from inputs that are known (the interpreter, constants).  tensor/seq.h. */
#include "op/infer.h"
#include "op/sequence.h"
#include "kernel/real.h"
#include "tensor/seq.h"
#include <stdlib.h>
#include <string.h>

static int sequence(const struct onx_infer *s, int i, const struct onx_view **v, struct onx_err *e)
{
	int rc = onx_in_known(s, i, v, e);
	if (rc == ONX_OK && (!*v || (*v)->type != ONX_SEQUENCE))
		return onx_fail(e, ONX_SHAPE, "input %d is %s, wanted a sequence", i,
				*v ? onx_dtype_name((*v)->type) : "missing");
	return rc;
}

static int give_number(struct onx_infer *s, enum onx_dtype type, int64_t n, struct onx_err *e)
{
	struct onx_view *v = onx_tensor_new(s->mem, type, 0, NULL, onx_dtype_store(type, false));
	if (v)
		onx_view_put_int(v, 0, n);
	return onx_give(s, 0, v, e);
}

/* Output 0 is like v, whose numbers are not known. */
static int give_shape(struct onx_infer *s, const struct onx_view *v)
{
	struct onx_shape shape = { .rank = v->rank };
	for (int d = 0; d < v->rank; d++)
		shape.dim[d] = v->dim[d];
	onx_set_out(s, 0, v->type, &shape);
	return ONX_OK;
}

/* An optional position (input i), negative from the end; *at = none where it is absent. */
static int position(const struct onx_infer *s, int i, size_t n, bool end, size_t none, size_t *at, struct onx_err *e)
{
	const struct onx_view *v;
	int rc = onx_in_known(s, i, &v, e);
	*at = none;
	if (rc < 0 || !v)
		return rc;
	if ((v->type != ONX_INT64 && v->type != ONX_INT32) || v->n != 1)
		return onx_fail(e, ONX_SHAPE, "input %d, a position, is no single int32 or int64", i);
	const int64_t p = onx_view_int(v, 0), most = (int64_t)n + end;
	if (p < -(int64_t)n || p >= most)
		return onx_fail(e, ONX_SHAPE, "position %lld in a sequence of %zu", (long long)p, n);
	*at = (size_t)(p < 0 ? p + (int64_t)n : p);
	return ONX_OK;
}

struct empty { int64_t dtype; };
static const struct onx_field empty_field[] = {
	{ "dtype", F_INT, offsetof(struct empty, dtype), .def = "1", .help = "element type of the tensors" },
	{ .name = NULL }
};
static const struct onx_table empty_table = { "SequenceEmpty", sizeof(struct empty), empty_field, .check = NULL };

static int empty_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	(void)attr;
	return onx_give(s, 0, onx_seq_new(s->mem, ONX_SEQUENCE, 0), e);
}

static int construct_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_view *y = onx_seq_new(s->mem, ONX_SEQUENCE, (size_t)s->n_in);
	(void)attr;
	for (int i = 0; y && i < s->n_in; i++) {
		int rc = onx_in_known(s, i, &onx_seq_items(y)[i], e);
		if (rc == ONX_OK && (!onx_seq_at(y, (size_t)i) || s->in[i].type != s->in[0].type))
			rc = onx_fail(e, ONX_SHAPE, "input %d is %s, input 0 is %s", i,
				      onx_dtype_name(s->in[i].type), onx_dtype_name(s->in[0].type));
		if (rc < 0)
			return rc;
	}
	return onx_give(s, 0, y, e);
}

static int insert_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *x, *v;
	size_t at;
	int rc = sequence(s, 0, &x, e);
	(void)attr;
	if (rc < 0 || (rc = onx_in_known(s, 1, &v, e)) < 0 || (rc = position(s, 2, x->n, true, x->n, &at, e)) < 0)
		return rc;
	if (!v)
		return onx_fail(e, ONX_SHAPE, "input 1 is missing");
	if (x->n && v->type != onx_seq_at(x, 0)->type)
		return onx_fail(e, ONX_SHAPE, "%s into a sequence of %s", onx_dtype_name(v->type),
				onx_dtype_name(onx_seq_at(x, 0)->type));
	struct onx_view *y = onx_seq_new(s->mem, ONX_SEQUENCE, x->n + 1);
	for (size_t i = 0; y && i <= x->n; i++)
		onx_seq_items(y)[i] = i == at ? v : onx_seq_at(x, i < at ? i : i - 1);
	return onx_give(s, 0, y, e);
}

static int erase_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *x;
	size_t at;
	int rc = sequence(s, 0, &x, e);
	(void)attr;
	if (rc == ONX_OK && x->n == 0)
		rc = onx_fail(e, ONX_SHAPE, "the sequence is empty");
	if (rc < 0 || (rc = position(s, 1, x->n, false, x->n - 1, &at, e)) < 0)
		return rc;
	struct onx_view *y = onx_seq_new(s->mem, ONX_SEQUENCE, x->n - 1);
	for (size_t i = 0; y && i + 1 < x->n; i++)
		onx_seq_items(y)[i] = onx_seq_at(x, i < at ? i : i + 1);
	return onx_give(s, 0, y, e);
}

static int at_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *x;
	size_t at;
	int rc = sequence(s, 0, &x, e);
	(void)attr;
	if (rc < 0 || (rc = position(s, 1, x->n, false, 0, &at, e)) < 0)
		return rc;
	if (onx_view_open(onx_seq_at(x, at)) && !onx_holds_views(onx_seq_at(x, at)->type)) {
		s->geo = (void *)(uintptr_t)onx_seq_at(x, at);
		return give_shape(s, onx_seq_at(x, at));
	}
	return onx_give(s, 0, onx_seq_at(x, at), e);
}

static int length_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *x;
	int rc = sequence(s, 0, &x, e);
	(void)attr;
	return rc < 0 ? rc : give_number(s, ONX_INT64, (int64_t)x->n, e);
}

/* ---- splitting and joining ---- */

struct split { int64_t axis; bool keep, new_axis; };
static const struct onx_field split_field[] = {
	{ "axis", F_INT, offsetof(struct split, axis), .def = "0", .help = "axis that is cut" },
	{ "keepdims", F_BOOL, offsetof(struct split, keep), .def = "1", .help = "0: slices of 1 lose the axis" },
	{ .name = NULL }
};
static const struct onx_table split_table = { "SplitToSequence", sizeof(struct split), split_field, .check = NULL };
static const struct onx_field concat_field[] = {
	{ "axis", F_INT, offsetof(struct split, axis), .def = NULL, .help = "axis to join along" },
	{ "new_axis", F_BOOL, offsetof(struct split, new_axis), .def = "0", .help = "1: along a new axis" },
	{ .name = NULL }
};
static const struct onx_table concat_table = { "ConcatFromSequence", sizeof(struct split), concat_field,
					       .check = NULL };

/* to[..., at .. at + n, ...] = from, along `axis` of the longer one; back: the other way round. */
static void move(const struct onx_view *whole, const struct onx_view *part, int axis, size_t at, size_t n, bool back)
{
	size_t outer = 1, inner = whole->width;
	for (int d = 0; d < axis; d++)
		outer *= (size_t)whole->dim[d];
	for (int d = axis + 1; d < whole->rank; d++)
		inner *= (size_t)whole->dim[d];
	for (size_t o = 0; n > 0 && inner > 0 && o < outer; o++) {
		char *w = (char *)whole->v + (o * (size_t)whole->dim[axis] + at) * inner;
		char *p = (char *)part->v + o * n * inner;
		memcpy(back ? p : w, back ? w : p, n * inner);
	}
}

static const struct onx_view *part_of(struct onx_infer *s, const struct onx_view *x, int axis, size_t at, size_t n,
				      bool squeeze)
{
	int64_t dim[ONX_RANK];
	int rank = 0;
	for (int d = 0; d < x->rank; d++)
		if (d != axis || !squeeze)
			dim[rank++] = d == axis ? (int64_t)n : x->dim[d];
	if (onx_view_open(x))
		return onx_unknown_new(s->mem, x->type, rank, dim, x->width, UINT32_MAX);
	struct onx_view *y = onx_tensor_new(s->mem, x->type, rank, dim, x->width);
	if (y)
		move(x, y, axis, at, n, true);
	return y;
}

/* Lengths of the pieces: all of one number (the last may be shorter), or a list that must add up. */
static int pieces(struct onx_infer *s, const struct onx_view *split, size_t all, const size_t **out, size_t *n,
		  struct onx_err *e)
{
	const bool list = split && split->rank > 0;
	const int64_t one = split && !list ? onx_view_int(split, 0) : 1;
	size_t sum = 0;
	if (!list && one <= 0)
		return onx_fail(e, ONX_SHAPE, "pieces of %lld", (long long)one);
	*n = list ? split->n : (all + (size_t)one - 1) / (size_t)one;
	size_t *v = ONX_NEWS(s->mem, size_t, *n + 1);
	if (!v)
		return onx_nomem(e, (double)*n * 8, "pieces");
	for (size_t i = 0; i < *n; i++) {
		const int64_t len = list ? onx_view_int(split, i) : one;
		if (len < 0 || (list && (size_t)len > all - sum))
			return onx_fail(e, ONX_SHAPE, "the pieces do not add up to %zu", all);
		v[i] = (size_t)len > all - sum ? all - sum : (size_t)len;
		sum += v[i];
	}
	*out = v;
	return sum == all ? ONX_OK : onx_fail(e, ONX_SHAPE, "the pieces add up to %zu, not %zu", sum, all);
}

static int split_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct split *a = attr;
	const struct onx_view *x, *by;
	const size_t *len = NULL;
	size_t n = 0, at = 0;
	int axis, rc = onx_in_known(s, 0, &x, e);
	if (rc == ONX_OK && (!x || onx_holds_views(x->type)))
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted a tensor",
				x ? onx_dtype_name(x->type) : "missing");
	if (rc < 0 || (rc = onx_in_known(s, 1, &by, e)) < 0 || (rc = onx_axis(a->axis, x->rank, &axis, e)) < 0)
		return rc;
	if (by && by->type != ONX_INT64 && by->type != ONX_INT32)
		return onx_fail(e, ONX_SHAPE, "input 1 is %s, wanted int32 or int64", onx_dtype_name(by->type));
	if ((rc = pieces(s, by, (size_t)x->dim[axis], &len, &n, e)) < 0)
		return rc;
	struct onx_view *y = onx_seq_new(s->mem, ONX_SEQUENCE, n);
	if (onx_view_open(x)) {
		struct onx_pieces *p = ONX_NEW(s->mem, struct onx_pieces);
		if (!p)
			return onx_nomem(e, sizeof *p, "pieces");
		*p = (struct onx_pieces){ len, n, axis, !by && !a->keep };
		s->geo = p;
	}
	for (size_t i = 0; y && i < n; i++) {
		if (!(onx_seq_items(y)[i] = part_of(s, x, axis, at, len[i], !by && !a->keep)))
			return onx_nomem(e, 64, "a piece");
		at += len[i];
	}
	return onx_give(s, 0, y, e);
}

static int concat_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct split *a = attr;
	const struct onx_view *x;
	int64_t dim[ONX_RANK + 1];
	int axis, rc = sequence(s, 0, &x, e);
	if (rc == ONX_OK && x->n == 0)
		rc = onx_fail(e, ONX_SHAPE, "the sequence is empty");
	if (rc < 0)
		return rc;
	const struct onx_view *one = onx_seq_at(x, 0);
	const int rank = one->rank + a->new_axis;
	if (rank > ONX_RANK || onx_holds_views(one->type))
		return onx_fail(e, ONX_UNSUP, "a sequence of %s with %d dimensions",
				onx_dtype_name(one->type), one->rank);
	if ((rc = onx_axis(a->axis, rank, &axis, e)) < 0)
		return rc;
	for (int d = 0, k = 0; d < rank; d++)
		dim[d] = a->new_axis && d == axis ? 0 : one->dim[k++];
	dim[axis] = 0;
	for (size_t i = 0; i < x->n; i++) {
		const struct onx_view *v = onx_seq_at(x, i);
		bool same = v->type == one->type && v->rank == one->rank;
		for (int d = 0; same && d < v->rank; d++)
			same = v->dim[d] == one->dim[d] || (d == axis && !a->new_axis);
		if (!same)
			return onx_fail(e, ONX_SHAPE, "element %zu has another type or shape than the first", i);
		dim[axis] += a->new_axis ? 1 : v->dim[axis];
	}
	if (onx_view_open(x)) {
		struct onx_joined *how = ONX_NEW(s->mem, struct onx_joined);
		if (!how)
			return onx_nomem(e, sizeof *how, "a sequence");
		*how = (struct onx_joined){ axis, a->new_axis };
		s->geo = how;
		return give_shape(s, &(struct onx_view){ .rank = rank, .dim = dim, .type = one->type });
	}
	struct onx_view *y = onx_tensor_new(s->mem, one->type, rank, dim, one->width);
	for (size_t i = 0, at = 0; y && i < x->n; i++) {
		const size_t n = a->new_axis ? 1 : (size_t)onx_seq_at(x, i)->dim[axis];
		move(y, onx_seq_at(x, i), axis, at, n, false);
		at += n;
	}
	return onx_give(s, 0, y, e);
}

/* ---- optionals: the one that holds something is what it holds ---- */

struct optional { int64_t unused; };
static const struct onx_field optional_field[] = {
	{ "type", F_GRAPH, offsetof(struct optional, unused), .def = "", .help = "what it may hold" },
	{ .name = NULL }
};
static const struct onx_table optional_table = { "Optional", sizeof(struct optional), optional_field,
						 .check = NULL };

static int optional_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *v;
	int rc = onx_in_known(s, 0, &v, e);
	(void)attr;
	return rc < 0 ? rc : onx_give(s, 0, v ? v : onx_seq_new(s->mem, ONX_NOTHING, 0), e);
}

static int has_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	(void)attr;
	return give_number(s, ONX_BOOL, onx_has_in(s, 0) && s->in[0].type != ONX_NOTHING, e);
}

static int get_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *v;
	int rc = onx_in_known(s, 0, &v, e);
	(void)attr;
	if (rc == ONX_OK && v->type == ONX_NOTHING)
		rc = onx_fail(e, ONX_SHAPE, "the optional holds nothing");
	return rc < 0 ? rc : onx_give(s, 0, v, e);
}

#define RULE(name, v, lo, hi, rule, table) \
	{ .domain = "", .type = name, .since = v, .min_in = lo, .max_in = hi, .min_out = 1, .max_out = 1, \
	  .flags = ONX_OP_RULE | ONX_OP_WIDTHS, .attr = table, .infer = rule##_infer }
#define SEQUENCE(name, lo, hi, rule, table, ...) \
	{ .domain = "", .type = name, .since = 11, .min_in = lo, .max_in = hi, .min_out = 1, .max_out = 1,      \
	  .grad = { __VA_ARGS__ }, .n_grad = sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int),                 \
	  .flags = ONX_OP_RULE | ONX_OP_WIDTHS | ONX_OP_SEQUENCE, .attr = table, .infer = rule##_infer }
#define D ONX_G_DIFF
#define N ONX_G_NEVER
const struct onx_op ONX_R(onx_ops_sequence)[] = {
	RULE("SequenceEmpty", 11, 0, 0, empty, &empty_table),
	SEQUENCE("SequenceConstruct", 1, ONX_MANY, construct, NULL, D),
	SEQUENCE("SequenceInsert", 2, 3, insert, NULL, D, D, N),
	SEQUENCE("SequenceErase", 1, 2, erase, NULL, D, N),
	SEQUENCE("SequenceAt", 2, 2, at, NULL, D, N),
	SEQUENCE("SequenceLength", 1, 1, length, NULL, N),
	SEQUENCE("SplitToSequence", 1, 2, split, &split_table, D, N),
	SEQUENCE("ConcatFromSequence", 1, 1, concat, &concat_table, D),
	RULE("Optional", 15, 0, 1, optional, &optional_table),
	RULE("OptionalHasElement", 15, 0, 1, has, NULL),
	RULE("OptionalGetElement", 15, 1, 1, get, NULL),
	{ .type = NULL }
};
