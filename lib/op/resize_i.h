/* op/resize_i.h -- what the files of Resize share: its attributes, and how they map the axes. */
#ifndef ONX_RESIZE_I_H
#define ONX_RESIZE_I_H
#include "op/op.h"
#include "op/taps.h"

enum onx_resize_mode { ONX_RESIZE_NEAREST, ONX_RESIZE_LINEAR, ONX_RESIZE_CUBIC };
enum onx_resize_policy { ONX_RESIZE_STRETCH, ONX_RESIZE_NOT_LARGER, ONX_RESIZE_NOT_SMALLER };

struct onx_resize {
	int mode, coord, nearest, policy;
	bool antialias, exclude;
	double a, extrapolation;
	struct onx_ints axes;
	struct onx_reals scales;
	uint64_t given;
};

#define onx_resize_maps ONX_R(onx_resize_maps)
/* m[i]: how axis i of input 0 is resized.  Which input holds what depends on the version.  Can fail: sizes, scales and
 * axes that do not fit together. */
int onx_resize_maps(struct onx_infer *s, const struct onx_resize *a, bool upsample, struct onx_axis_map *m,
		    struct onx_err *e) ONX_MUST;

#endif
