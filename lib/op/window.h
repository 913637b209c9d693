/* op/window.h -- the attributes of sliding windows (Conv, ConvTranspose, the pools) and their checks. */
#ifndef ONX_OP_WINDOW_H
#define ONX_OP_WINDOW_H
#include "kernel/real.h"
#include "kernel/window.h"
#include "op/op.h"

enum onx_auto_pad { ONX_PAD_NOTSET, ONX_PAD_SAME_UPPER, ONX_PAD_SAME_LOWER, ONX_PAD_VALID };

struct onx_win_attr {
	int auto_pad;                           /* enum onx_auto_pad                     */
	struct onx_ints kernel_shape, strides, dilations;       /* empty: from W, 1s, 1s */
	struct onx_ints pads;                   /* all begins, then all ends; empty: 0s  */
};

/* Rows of a field table for a struct T whose member `win` is a struct onx_win_attr. */
#define ONX_WIN_FIELDS(T) \
	{ "auto_pad", F_ENUM, offsetof(T, win.auto_pad), .def = "NOTSET", .choices = onx_auto_pads,       \
	  .help = "how pads follow from the sizes" },                                                     \
	ONX_WIN_SHAPE(T)
#define ONX_WIN_SHAPE(T) \
	{ "kernel_shape", F_INTS, offsetof(T, win.kernel_shape), .def = "", .help = "size of the window" }, \
	{ "strides", F_INTS, offsetof(T, win.strides), .def = "", .help = "step between windows" },       \
	{ "pads", F_INTS, offsetof(T, win.pads), .def = "", .help = "padding: begins, then ends" }
#define ONX_WIN_DILATIONS(T) \
	{ "dilations", F_INTS, offsetof(T, win.dilations), .def = "", .help = "step between taps" }

#define onx_auto_pads ONX_R(onx_auto_pads)
#define onx_win_read ONX_R(onx_win_read)
#define onx_win_slide ONX_R(onx_win_slide)

extern const char *const onx_auto_pads[];

/* Kernel, strides, dilations and explicit pads of `nd` (1 to 3) dimensions into the last places of *w,
 * ranges checked; `kern`: the size that the weights give, or NULL (then kernel_shape must be there).
 * in[0..nd) are the spatial sizes. */
int onx_win_read(const struct onx_win_attr *a, int nd, const int64_t *in, const int64_t *kern,
		 struct onx_window *w, struct onx_err *e) ONX_MUST;
/* Output sizes and pads (auto_pad resolved) of a forward window: ONNX Conv, "pads" and "auto_pad";
 * pools round up with `ceil` but never start a window in the padding at the end. */
int onx_win_slide(const struct onx_win_attr *a, int nd, bool ceil, struct onx_window *w,
		  struct onx_err *e) ONX_MUST;

#endif
