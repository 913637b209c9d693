/* op/strips.h -- the attribute `windows` of ConvStripsLast. */
#ifndef ONX_OP_STRIPS_H
#define ONX_OP_STRIPS_H

/* Numbers of a stage: auto_pad (enum onx_auto_pad), strides 2, dilations 2, pads 4, group. */
enum { ONX_STRIPS_INTS = 10 };

#endif
