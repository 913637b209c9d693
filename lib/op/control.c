/* op/control.c -- If, Loop, Scan, SequenceMap: what they look like in a file.  Their bodies are graphs, so
 * graph/control.c has their rules, and a plan is made of their bodies' nodes (plan/unroll.c). */
#include "kernel/real.h"
#include "op/control.h"
#include "op/gradient.h"
#include "op/infer.h"

#define BODY(name_, m) { name_, F_GRAPH, offsetof(struct onx_control_attr, m), .def = NULL, .help = "a graph" }
#define INTS(name_, m, about) \
	{ name_, F_INTS, offsetof(struct onx_control_attr, m), .def = "", .help = about }
#define COUNT { "num_scan_inputs", F_INT, offsetof(struct onx_control_attr, scan_inputs), .def = NULL, .min = 1, \
	.max = 1 << 20, .help = "inputs that are cut into slices" }
static const struct onx_field if_field[] = {
	BODY("then_branch", then_branch), BODY("else_branch", else_branch), { .name = NULL }
};
static const struct onx_field body_field[] = { BODY("body", body), { .name = NULL } };
static const struct onx_field scan8_field[] = {
	BODY("body", body), COUNT, INTS("directions", in_back, "1: from the last slice on"), { .name = NULL }
};
static const struct onx_field scan_field[] = {
	BODY("body", body), COUNT, INTS("scan_input_axes", in_axes, "axes that are cut"),
	INTS("scan_output_axes", out_axes, "axes that slices are joined along"),
	INTS("scan_input_directions", in_back, "1: from the last slice on"),
	INTS("scan_output_directions", out_back, "1: from the last slice on"), { .name = NULL }
};
#define TABLE(part, name) static const struct onx_table part##_table = { name, sizeof(struct onx_control_attr), \
	part##_field, .check = NULL };
TABLE(if, "If")
TABLE(body, "Loop")
TABLE(scan8, "Scan")
TABLE(scan, "Scan")

static const struct onx_field gradient_field[] = {
	{ "xs", F_STRS, offsetof(struct onx_gradient_attr, xs), .def = NULL, .help = "tensors to differentiate by" },
	{ "y", F_STR, offsetof(struct onx_gradient_attr, y), .def = NULL, .help = "the tensor that is differentiated" },
	{ "zs", F_STRS, offsetof(struct onx_gradient_attr, zs), .def = "", .help = "other tensors that it depends on" },
	{ .name = NULL }
};
static const struct onx_table gradient_table = { "Gradient", sizeof(struct onx_gradient_attr), gradient_field,
	.check = NULL };

/* Never reached: graph/facts.c sees the bodies first. */
static int infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	(void)s, (void)attr;
	return onx_fail(e, ONX_UNSUP, "what its body does depends on numbers that are computed while running");
}

/* Before there is a body: shapes are those of the tensors that it differentiates by. */
static int gradient_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	(void)attr, (void)e;
	for (int i = 0; i < s->n_out && i < s->n_in; i++)
		if (s->out_wanted[i])
			s->out[i] = (struct onx_fact){ .type = s->in[i].type, .shape = s->in[i].shape };
	return ONX_OK;
}

#define CONTROL(name, v, lo, hi, outs, table_, ...) \
	{ .domain = "", .type = name, .since = v, .min_in = lo, .max_in = hi, .min_out = outs, .max_out = ONX_MANY, \
	  .grad = { __VA_ARGS__ }, .n_grad = sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int),      \
	  .flags = ONX_OP_BODY | ONX_OP_NOFOLD, .attr = &table_, .infer = infer }
#define N ONX_G_NEVER
#define D ONX_G_DIFF
const struct onx_op ONX_R(onx_ops_control)[] = {
	CONTROL("If", 1, 1, 1, 1, if_table, N),
	CONTROL("Loop", 1, 0, ONX_MANY, 1, body_table, N, N, D),
	CONTROL("Scan", 8, 0, ONX_MANY, 1, scan8_table, N, D),
	CONTROL("Scan", 9, 1, ONX_MANY, 1, scan_table, D),
	CONTROL("SequenceMap", 17, 1, ONX_MANY, 1, body_table, D),
	/* its body is the sub-graph and the way back through it: graph/gradient.c */
	{ .domain = "ai.onnx.preview.training", .type = "Gradient", .since = 1, .min_in = 1, .max_in = ONX_MANY,
	  .min_out = 1, .max_out = ONX_MANY, .grad = { N }, .n_grad = 1,
	  .flags = ONX_OP_BODY | ONX_OP_NOFOLD | ONX_OP_SECOND, .attr = &gradient_table,
	  .infer = gradient_infer },
	{ .type = NULL }
};
