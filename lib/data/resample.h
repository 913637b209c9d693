/* data/resample.h -- antialiased bilinear resizing, equal to Pillow's Image.resize(BILINEAR).
 *
 * Separable triangle filter whose support grows with the reduction, so that every source pixel
 * counts.  Output pixel i looks at centre (i + 0.5) * scale with weights 1 - |x| / max(scale, 1),
 * normalised, as 22-bit fixed point; horizontal pass, rounded to 8 bits, then vertical pass
 * (Pillow, src/libImaging/Resample.c).  Integers throughout: the same bits on every machine. */
#ifndef ONX_RESAMPLE_H
#define ONX_RESAMPLE_H
#include "base/err.h"
#include "picture/image.h"

struct onx_box { int x, y, w, h; };     /* pixels; inside the picture */

/* The part `box` of src (NULL: all of it), resized to w x h, into a new picture.  As Pillow's
 * crop(box).resize((w, h)): pixels outside the box have no influence. */
int onx_resample(const struct onx_image *src, const struct onx_box *box, int w, int h,
		 struct onx_image *out, struct onx_err *e) ONX_MUST;
/* Of that result only the pixels of `part` (inside w x h), at the cost of those. */
int onx_resample_part(const struct onx_image *src, const struct onx_box *box, int w, int h,
		      const struct onx_box *part, struct onx_image *out, struct onx_err *e) ONX_MUST;
/* Plain copy of a box.  A box that leaves the picture is filled up with `fill`. */
int onx_crop(const struct onx_image *src, const struct onx_box *box, uint8_t fill,
	     struct onx_image *out, struct onx_err *e) ONX_MUST;
/* The box of w x h in the middle of a W x H picture, rounded as torchvision's CenterCrop. */
struct onx_box onx_centre(int W, int H, int w, int h);

#endif
