/* op/conv_i.h -- what Conv (conv.c), ConvTranspose (conv_transpose.c) and FusedConv (conv_fused.c) share:
 * attributes, what is checked of the inputs, and the ways of kernel/conv.h as they are called. */
#ifndef ONX_CONV_I_H
#define ONX_CONV_I_H
#include "kernel/conv.h"
#include "op/infer.h"
#include "op/window.h"

struct onx_conv_attr {
	struct onx_win_attr win;
	int64_t group;
	struct onx_ints output_padding, output_shape;   /* ConvTranspose only */
	const char *activation;                         /* FusedConv only     */
	struct onx_reals params;
};

#define ONX_CONV_FIELDS                                                                                 \
	ONX_WIN_FIELDS(struct onx_conv_attr),                                                           \
	ONX_WIN_DILATIONS(struct onx_conv_attr),                                                        \
	{ "group", F_INT, offsetof(struct onx_conv_attr, group), .def = "1", .min = 1, .max = 1e9,      \
	  .help = "parts into which the channels fall" }

#define onx_conv_check ONX_R(onx_conv_check)
#define onx_conv_set_shape ONX_R(onx_conv_set_shape)
#define onx_conv_infer ONX_R(onx_conv_infer)
#define onx_conv_macs ONX_R(onx_conv_macs)
#define onx_conv_by_gemm ONX_R(onx_conv_by_gemm)
#define onx_conv_by_depthwise ONX_R(onx_conv_by_depthwise)
#define onx_conv_by_ref ONX_R(onx_conv_by_ref)
#define onx_conv_bias_in ONX_R(onx_conv_bias_in)
#define onx_conv_bias_back ONX_R(onx_conv_bias_back)
#define onx_conv_run ONX_R(onx_conv_run)
#define onx_conv_run_back ONX_R(onx_conv_run_back)
#define onx_conv_gemm_bytes ONX_R(onx_conv_gemm_bytes)
#define onx_conv_fits_depthwise ONX_R(onx_conv_fits_depthwise)
#define onx_conv_fits_pointwise ONX_R(onx_conv_fits_pointwise)
#define onx_conv_fits_all ONX_R(onx_conv_fits_all)

/* Types, ranks, groups, the bias.  *out_ch: channels of Y. */
int onx_conv_check(const struct onx_infer *s, const struct onx_conv_attr *a, bool transposed, int64_t *out_ch,
		   struct onx_err *e) ONX_MUST;
/* Output 0 has N of input 0, these channels and the last of three spatial sizes. */
int onx_conv_set_shape(struct onx_infer *s, int64_t channels, const size_t *spatial, struct onx_err *e) ONX_MUST;
int onx_conv_infer(struct onx_infer *s, const void *attr, struct onx_err *e) ONX_MUST;     /* of Conv */
double onx_conv_macs(const struct onx_infer *s, const void *attr);

/* One way to convolve: kernel/conv.h. */
struct onx_conv_way {
	ONX_R(onx_conv_forward_fn) *forward;
	ONX_R(onx_conv_dgrad_fn) *dgrad;
	ONX_R(onx_conv_wgrad_fn) *wgrad;
};
extern const struct onx_conv_way onx_conv_by_gemm, onx_conv_by_depthwise, onx_conv_by_ref;

/* The bias, input 2; NULL: none.  Its gradient, from dy over `spatial` pixels. */
const real *onx_conv_bias_in(const struct onx_call *c);
void onx_conv_bias_back(const struct onx_call *c, size_t spatial);
/* Y = W * X + B; the gradients of all three. */
void onx_conv_run(const struct onx_call *c, const struct onx_conv_way *way);
void onx_conv_run_back(const struct onx_call *c, const struct onx_conv_way *way);
size_t onx_conv_gemm_bytes(const struct onx_infer *s, const void *attr, int threads, bool backward);

bool onx_conv_fits_depthwise(const struct onx_infer *s, const void *attr);
bool onx_conv_fits_pointwise(const struct onx_infer *s, const void *attr);
bool onx_conv_fits_all(const struct onx_infer *s, const void *attr);

/* op##_forward_##name and op##_backward_##name: `run` and `back` by this way. */
#define ONX_CONV_BOTH(op, run, back, name, way)                                                 \
static void op##_forward_##name(const struct onx_call *c) { run(c, &way); }                     \
static void op##_backward_##name(const struct onx_call *c) { back(c, &way); }

/* The row of an operator whose table, ways and kernels are named part##_... */
#define ONX_CONV_ROW(t, part, infer_)                                                                    \
	{ .domain = "", .type = t, .since = 1, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,     \
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .weight = 6,       \
	  .flags = ONX_OP_APART, .attr = &part##_table, .infer = infer_, .macs = onx_conv_macs,          \
	  .forward = part##_forward_ref, .backward = part##_backward_ref, .impl = part##_impl }

#endif
