/* op/depth.c -- DepthToSpace and SpaceToDepth: squares of pixels that become channels, and back (op/walk.h). */
#include <inttypes.h>
#include "op/move.h"

struct blocks { int64_t blocksize; int mode; uint64_t given; };
static const char *const depth_modes[] = { "DCR", "CRD", NULL };
static const struct onx_field depth_field[] = {
	{ "blocksize", F_INT, offsetof(struct blocks, blocksize), .min = 1, .max = 65536,
	  .help = "edge of the square that a pixel becomes" },
	{ "mode", F_ENUM, offsetof(struct blocks, mode), .def = "DCR", .choices = depth_modes,
	  .help = "which part of the channel number says where in the square" },
	{ .name = NULL }
};
static const struct onx_table depth_attr = { "DepthToSpace", sizeof(struct blocks), depth_field,
	.given = offsetof(struct blocks, given) };
static const struct onx_field space_field[] = {
	{ "blocksize", F_INT, offsetof(struct blocks, blocksize), .min = 1, .max = 65536,
	  .help = "edge of the square that becomes a pixel" },
	{ "mode", F_ENUM, offsetof(struct blocks, mode), .def = "DCR", .choices = depth_modes,
	  .help = "which part of the channel number says where in the square" },
	{ .name = NULL }
};
static const struct onx_table space_attr = { "SpaceToDepth", sizeof(struct blocks), space_field,
	.given = offsetof(struct blocks, given) };

/* The walk (n, c, h, i, w, j) between wide [n, c, h*b, w*b] and deep [n, c*b*b, h, w]; pixel (i, j) of a
 * square stands in channel (i*b + j)*C + c (DCR) or c*b*b + i*b + j (CRD). */
static void blocks_walk(struct onx_walk *k, const struct onx_shape *wide, int64_t b, bool crd, bool to_deep)
{
	const int64_t c = wide->dim[1], h = wide->dim[2] / b, w = wide->dim[3] / b, hw = h * w;
	const int64_t dim[6] = { wide->dim[0], c, h, b, w, b };
	const int64_t in_wide[6] = { c * hw * b * b, hw * b * b, b * b * w, b * w, b, 1 };
	const int64_t in_deep[6] = { c * hw * b * b, crd ? hw * b * b : hw, w,
		crd ? hw * b : hw * b * c, 1, crd ? hw : hw * c };

	for (int i = 0; i < 6; i++)
		onx_walk_dim(k, dim[i], to_deep ? in_deep[i] : in_wide[i], to_deep ? in_wide[i] : in_deep[i]);
}

static int blocks_infer(struct onx_infer *s, const struct blocks *a, bool to_deep, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	const int64_t b = a->blocksize;
	struct onx_move *m;
	int rc = onx_want_rank(s, 0, 4, 4, e);

	if (rc < 0)
		return rc;
	struct onx_shape y = *x;
	if (to_deep ? x->dim[2] % b || x->dim[3] % b : x->dim[1] % (b * b) != 0) {
		char text[ONX_SHAPE_TEXT];
		return onx_fail(e, ONX_SHAPE, "%s cannot be cut into blocks of %" PRId64,
				onx_shape_text(x->rank, x->dim, text, sizeof text), b);
	}
	bool lost = false;
	y.dim[1] = x->dim[1] / (b * b);
	y.dim[2] = x->dim[2] / b;
	y.dim[3] = x->dim[3] / b;
	if (to_deep)
		lost = __builtin_mul_overflow(x->dim[1], b * b, &y.dim[1]);
	else
		lost = __builtin_mul_overflow(x->dim[2], b, &y.dim[2]) ||
		       __builtin_mul_overflow(x->dim[3], b, &y.dim[3]);
	if (lost)
		return onx_fail(e, ONX_SHAPE, "blocks of %" PRId64 " make the result too large", b);
	size_t n;
	rc = onx_move_to(s, &y, &n, &m, e);
	if (rc < 0)
		return rc;
	blocks_walk(&m->w[0], to_deep ? x : &y, b, a->mode == 1, to_deep);
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static int depth_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return blocks_infer(s, attr, false, e);
}

static int space_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return blocks_infer(s, attr, true, e);
}

#define BLOCKS(name, version, table, rule)                                                   \
	{ .domain = "", .type = name, .since = version, .min_in = 1, .max_in = 1,             \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .attr = table,     \
	  .infer = rule, .forward = onx_move_forward, .backward = onx_move_backward }
const struct onx_op ONX_R(onx_ops_depth)[] = {
	BLOCKS("DepthToSpace", 1, &depth_attr, depth_infer),
	BLOCKS("SpaceToDepth", 1, &space_attr, space_infer),
	{ .type = NULL }
};
