/* op/roi.h -- features of rectangles of pictures at a fixed size: what RoiAlign (roi.c) and MaxRoiPool (roi_pool.c)
 * share.  X [n][c][h][w]; Y [rois][c][ph][pw].  Rectangles and the pictures that they lie in may be computed while
 * running: a picture that does not exist gives zeros. */
#ifndef ONX_ROI_H
#define ONX_ROI_H
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

struct onx_roi_geo { int64_t n, c, h, w, rois, ph, pw; bool shift; };

#define onx_roi_geometry ONX_R(onx_roi_geometry)
#define onx_roi_scratch ONX_R(onx_roi_scratch)
#define onx_roi_back ONX_R(onx_roi_back)

/* Checks X and rectangles of so many numbers, sets the output and s->geo. */
int onx_roi_geometry(struct onx_infer *s, int64_t ph, int64_t pw, int64_t numbers, struct onx_roi_geo **out,
		     struct onx_err *e) ONX_MUST;
size_t onx_roi_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward);
/* dX, plane by plane, in double: fn adds to d [h][w] what rectangle `roi` sends to a channel of a picture. */
typedef void onx_roi_add_fn(const struct onx_call *c, size_t roi, int64_t picture, int64_t channel, double *d);
void onx_roi_back(const struct onx_call *c, onx_roi_add_fn *add);

/* A bounded whole number of a place that may be anything. */
static inline int64_t onx_roi_place(double v, double lo, double hi)
{
	return (int64_t)(v > lo ? v < hi ? v : hi : lo);        /* NaN: lo */
}

#define ONX_ROI_ROW(name, version, ins, table, part)                                                     \
	{ .domain = "", .type = name, .since = version, .min_in = ins, .max_in = ins, .min_out = 1,         \
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2,                                  \
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2), .attr = &table, .infer = part##_infer,     \
	  .scratch = onx_roi_scratch, .forward = part##_forward, .backward = part##_backward }

#endif
