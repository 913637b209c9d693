/* op/taps.h -- resampling one axis at a time.
 *
 * Linear and cubic resizing are products of one linear map for each axis: element j of the result is the
 * sum of `n_tap` elements of the input with fixed weights.  A tensor is resized by one pass per axis that
 * changes, through two buffers of scratch.  The weights follow the reference of the ONNX operator
 * Resize (coordinate_transformation_mode, cubic_coeff_a, exclude_outside, antialias). */
#ifndef ONX_TAPS_H
#define ONX_TAPS_H
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/pool.h"
#include "kernel/real.h"

enum onx_coord { ONX_HALF_PIXEL, ONX_HALF_PIXEL_SYMMETRIC, ONX_PYTORCH_HALF_PIXEL, ONX_ALIGN_CORNERS,
		 ONX_ASYMMETRIC, ONX_TF_CROP_AND_RESIZE, ONX_TF_HALF_PIXEL_FOR_NN };
enum onx_near { ONX_ROUND_PREFER_FLOOR, ONX_ROUND_PREFER_CEIL, ONX_NEAR_FLOOR, ONX_NEAR_CEIL,
		ONX_NEAR_SIMPLE };      /* Resize-10: ceil where it shrinks, else floor */

struct onx_axis_map {                   /* how one axis is resized */
	int64_t n_in, n_out;
	double scale;
	double roi0, roi1;              /* tf_crop_and_resize: part of the axis that is kept */
	enum onx_coord coord;
	bool by_size;                   /* scale is n_out / n_in, not a number from the file */
};
struct onx_taps {
	int64_t n_in, n_out;
	int64_t n_tap;
	int64_t *at;                    /* [n_out][n_tap], all within 0..n_in-1       */
	double *w;                      /* likewise; zeros where the place is outside */
	int32_t *along;                 /* `at` and `w` [n_tap][n_out], for rows; NULL: n_in is too large */
	double *weight;
	float *weight_f;
};

#define onx_coordinate ONX_R(onx_coordinate)
#define onx_nearest_at ONX_R(onx_nearest_at)
#define onx_taps_make ONX_R(onx_taps_make)
#define onx_taps_forward ONX_R(onx_taps_forward)
#define onx_taps_backward ONX_R(onx_taps_backward)

/* Where element j of the result lies in the input.  Returns false where tf_crop_and_resize leaves it. */
bool onx_coordinate(const struct onx_axis_map *m, int64_t j, double *x);
/* The element nearest to x, clamped to the axis. */
int64_t onx_nearest_at(const struct onx_axis_map *m, enum onx_near mode, double x);
/* cubic: with coefficient `a`, else linear.  Returns false if memory is short. */
bool onx_taps_make(const struct onx_axis_map *m, bool cubic, double a, bool exclude_outside, bool antialias,
		   struct onx_arena *mem, struct onx_taps *t);

/* y[outer][n_out][inner] from x[outer][n_in][inner]; backward sets or adds to dx. */
void onx_taps_forward(const struct onx_taps *t, size_t outer, size_t inner, const real *x, real *y,
		      struct onx_pool *p);
void onx_taps_backward(const struct onx_taps *t, size_t outer, size_t inner, real *dx, const real *dy,
		       bool add, struct onx_pool *p);

#endif
