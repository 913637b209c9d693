/* op/einsum.c -- Einsum: y[out] = sum over the other labels of the product of x_i[labels of i].
 *
 * Every operand has a stride for every label (0: it does not have it, or the axis is broadcast; a label
 * that stands twice has the sum of both strides, a diagonal).  The gradient for one operand is the same
 * sum with its place and that of y exchanged, so one loop (contract.h) serves forward and backward. */
#include <ctype.h>
#include <string.h>
#include "op/contract.h"
#include "op/infer.h"
#include "op/walk.h"
#include "op/whole.h"

enum { LETTERS = 52, LABELS = ONX_LABELS, OPERANDS = ONX_FACTORS };

struct einsum { const char *equation; uint64_t given; };
static const struct onx_field einsum_field[] = {
	{ "equation", F_STR, offsetof(struct einsum, equation), .help = "\"ij,jk->ik\"" },
	{ .name = NULL }
};
static const struct onx_table einsum_attr = { "Einsum", sizeof(struct einsum), einsum_field,
	.given = offsetof(struct einsum, given) };

struct geo {
	int n_in;
	bool empty;                                     /* an input has no elements: y is 0 */
	int64_t dim[LABELS];                            /* -1 until a label is met */
	int64_t stride[OPERANDS + 1][LABELS];           /* the last one is y      */
};

static int label_of(char c)
{
	return c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= 'A' && c <= 'Z' ? c - 'A' : -1;
}

/* One term as labels of the axes of a tensor of `rank`; the ellipsis takes what the letters leave, its
 * axes counted from the right. rank < 0: y, where the ellipsis has `dots` axes.  Returns the rank, -1: no. */
static int term_labels(const char *t, size_t n, int rank, int dots, int *label)
{
	int letters = 0, k = 0;
	bool seen = false;

	for (size_t i = 0; i < n; i++)
		letters += label_of(t[i]) >= 0;
	if (rank >= 0)
		dots = rank - letters;
	if (dots < 0 || letters + dots > ONX_RANK)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (isspace((unsigned char)t[i]))
			continue;
		if (label_of(t[i]) >= 0) {
			label[k++] = label_of(t[i]);
			continue;
		}
		if (seen || i + 3 > n || memcmp(t + i, "...", 3) != 0)
			return -1;
		seen = true;
		i += 2;
		for (int d = dots; d-- > 0; )
			label[k++] = LETTERS + d;
	}
	return rank >= 0 && k != rank ? -1 : k;
}

/* The dims of an operand into the labels' dims; strides where the axis is not broadcast. */
static bool take_operand(struct geo *g, int i, const struct onx_shape *x, const int *label)
{
	int64_t stride[ONX_RANK];

	onx_strides(x->rank, x->dim, stride);
	for (int k = 0; k < x->rank; k++) {
		int64_t *d = &g->dim[label[k]];

		if (*d == -1 || *d == 1)
			*d = x->dim[k];
		else if (x->dim[k] != *d && x->dim[k] != 1)
			return false;
		if (x->dim[k] != 1)
			g->stride[i][label[k]] += stride[k];
	}
	return true;
}

/* Without "->": the ellipsis, then the letters that stand once, in order of the alphabet. */
static int implicit_labels(const char *eq, int dots, int *label)
{
	static const char order[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	int k = 0;

	for (int d = dots; d-- > 0; )
		label[k++] = LETTERS + d;
	for (const char *c = order; *c; c++) {
		const char *at = strchr(eq, *c);

		if (at && !strchr(at + 1, *c)) {
			if (k == ONX_RANK)
				return -1;
			label[k++] = label_of(*c);
		}
	}
	return k;
}

static int take_inputs(struct onx_infer *s, const char *eq, size_t len, struct geo *g, struct onx_err *e)
{
	const char *t = eq, *end = eq + len;
	int label[ONX_RANK], i = 0;

	for (bool more = true; more; i++) {
		const char *comma = memchr(t, ',', (size_t)(end - t));
		const char *stop = comma ? comma : end;

		if (i >= s->n_in)
			break;
		int rc = onx_is_whole(s->in[i].type) ? ONX_OK : onx_want_real(s, i, e);
		if (rc == ONX_OK)
			rc = onx_want_same_type(s, 0, i, e);
		if (rc < 0)
			return rc;
		const struct onx_shape *x = &s->in[i].shape;
		for (int k = 0; k < x->rank; k++)
			g->empty = g->empty || x->dim[k] == 0;
		if (term_labels(t, (size_t)(stop - t), x->rank, 0, label) < 0 || !take_operand(g, i, x, label))
			return onx_fail(e, ONX_SHAPE, "equation '%s' does not fit input %d", eq, i);
		more = comma != NULL;
		t = stop + more;
		if (!more && i + 1 == s->n_in)
			return ONX_OK;
	}
	return onx_fail(e, ONX_SHAPE, "equation '%s' is not for %d inputs", eq, s->n_in);
}

static int einsum_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const char *eq = ((const struct einsum *)attr)->equation;
	struct geo *g = ONX_NEW(s->mem, struct geo);
	int label[ONX_RANK], dots = 0;

	if (!g)
		return onx_nomem(e, sizeof *g, "geometry of Einsum");
	if (!eq || s->n_in > OPERANDS)
		return onx_fail(e, ONX_UNSUP, "no equation, or %d inputs where %d are supported", s->n_in,
				OPERANDS);
	for (int l = 0; l < LABELS; l++)
		g->dim[l] = -1;
	const char *arrow = strstr(eq, "->");
	int rc = take_inputs(s, eq, arrow ? (size_t)(arrow - eq) : strlen(eq), g, e);
	if (rc < 0)
		return rc;
	while (dots < ONX_RANK && g->dim[LETTERS + dots] != -1)
		dots++;
	const int rank = arrow ? term_labels(arrow + 2, strlen(arrow + 2), -1, strstr(arrow, "...") ? dots : 0,
					     label)
			       : implicit_labels(eq, dots, label);
	struct onx_shape y = { .rank = rank };
	bool seen[LABELS] = { false };
	for (int k = 0; k < rank; k++) {
		if (g->dim[label[k]] == -1 || seen[label[k]])
			return onx_fail(e, ONX_SHAPE, "the result of '%s' has a label twice, or one that no input "
					"has", eq);
		seen[label[k]] = true;
		y.dim[k] = g->dim[label[k]];
	}
	size_t n;
	if (rank < 0)
		return onx_fail(e, ONX_SHAPE, "equation '%s' cannot be read", eq);
	rc = onx_count(rank, y.dim, &n, e);
	if (rc < 0)
		return rc;
	int64_t stride[ONX_RANK];
	onx_strides(rank, y.dim, stride);
	for (int k = 0; k < rank; k++)
		g->stride[OPERANDS][label[k]] = y.dim[k] > 1 ? stride[k] : 0;
	g->n_in = s->n_in;
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static double einsum_macs(const struct onx_infer *s, const void *attr)
{
	const struct geo *g = s->geo;
	double n = 1;

	(void)attr;
	for (int l = 0; l < LABELS; l++)
		n *= g->dim[l] > 1 ? (double)g->dim[l] : 1;
	return n;
}

/* operand[t] (t == OPERANDS: y) from the others; v[] by operand. */
static void sum_into(const struct geo *g, int t, const struct onx_view *const *v, const struct onx_view *target,
		     bool add, const struct onx_call *c)
{
	struct onx_contract s = { .target = target, .add = add, .whole = !onx_dtype_real(c->x[0].type) };

	for (int kept = 1; kept >= 0; kept--) {
		for (int l = 0; l < LABELS; l++) {
			if (g->dim[l] <= 1 || (g->stride[t][l] != 0) != kept)
				continue;
			s.dim[s.n] = g->dim[l];
			s.to[s.n] = g->stride[t][l];
			for (int f = 0, i = 0; i <= OPERANDS; i++)
				if (i != t && v[i])
					s.by[f++][s.n] = g->stride[i][l];
			s.n++;
		}
		s.kept = kept ? s.n : s.kept;
	}
	for (int i = 0; i <= OPERANDS; i++)
		if (i != t && v[i])
			s.factor[s.n_factor++] = v[i];
	onx_contract_run(c->pool, &s);
}

static void einsum_forward(const struct onx_call *c)
{
	const struct onx_view *v[OPERANDS + 1] = { NULL };

	if (((const struct geo *)c->geo)->empty) {
		onx_fill(c->y[0].v, c->y[0].n, NULL, c->y[0].width);
		return;
	}
	for (int i = 0; i < c->n_x; i++)
		v[i] = &c->x[i];
	sum_into(c->geo, OPERANDS, v, &c->y[0], false, c);
}

/* What a diagonal does not touch has the gradient 0. */
static void einsum_backward(const struct onx_call *c)
{
	const struct onx_view *v[OPERANDS + 1] = { NULL };

	for (int i = 0; i < c->n_x; i++)
		v[i] = &c->x[i];
	v[OPERANDS] = &c->dy[0];
	for (int i = 0; i < c->n_x; i++) {
		const struct onx_view *dx = &c->dx[i];

		if (!dx->v)
			continue;
		if (!dx->add)
			onx_fill(dx->v, dx->n, NULL, sizeof(real));
		if (!((const struct geo *)c->geo)->empty)
			sum_into(c->geo, i, v, dx, true, c);
	}
}

const struct onx_op ONX_R(onx_ops_einsum)[] = {
	{ .domain = "", .type = "Einsum", .since = 12, .min_in = 1, .max_in = ONX_MANY, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = 0xffff, .attr = &einsum_attr,
	  .infer = einsum_infer, .macs = einsum_macs, .forward = einsum_forward, .backward = einsum_backward },
	{ .type = NULL }
};
