/* kernel/conv_phase.h -- the depthwise way for two dimensions and small windows: functions as in
 * kernel/conv.h, over the geometries that fit. */
#ifndef ONX_CONV_PHASE_H
#define ONX_CONV_PHASE_H
#include "kernel/conv.h"

enum { ONX_PHASE_TAPS = 64 };

#define onx_conv_phase_fits ONX_R(onx_conv_phase_fits)
#define onx_conv_phase_forward ONX_R(onx_conv_phase_forward)
#define onx_conv_phase_dgrad ONX_R(onx_conv_phase_dgrad)
#define onx_conv_phase_wgrad ONX_R(onx_conv_phase_wgrad)
#define onx_conv_phase_scratch ONX_R(onx_conv_phase_scratch)

bool onx_conv_phase_fits(const struct onx_conv_geo *g);
ONX_R(onx_conv_forward_fn) onx_conv_phase_forward;
ONX_R(onx_conv_dgrad_fn) onx_conv_phase_dgrad;
ONX_R(onx_conv_wgrad_fn) onx_conv_phase_wgrad;
/* Bytes; backward: enough for both gradients. */
size_t onx_conv_phase_scratch(const struct onx_conv_geo *g, int threads, bool backward);

#endif
