/* data/augment.h -- random changes to training pictures, as torchvision defines them.
 *
 * Each is a row of a table (data/augment.c); numbers are drawn from (seed, ONX_RNG_AUGMENT, epoch,
 * sample), each row from its own place in that stream: a sample's change depends neither on
 * threads, nor on the order of samples, nor on which other rows are on.  Rows, in this order:
 *
 *   crop        RandomResizedCrop: area in crop_scale, log-uniform proportions in crop_ratio, 10 tries
 *   flip        RandomHorizontalFlip with probability
 *   rotate      RandomRotation by -rotate .. +rotate degrees, bilinear, corners black
 *   jitter      ColorJitter: brightness, contrast, saturation by factors in [1-x, 1+x], random order
 *   erase       RandomErasing with probability: area 2..33 %, proportions 0.3..3.3; the rectangle
 *               gets the preset's mean colour (zero after the formula) */
#ifndef ONX_AUGMENT_H
#define ONX_AUGMENT_H
#include "base/field.h"
#include "picture/image.h"
#include "data/preset.h"

struct onx_augment {
	bool augment;                   /* false: nothing below is used                */
	double flip;                    /* probability; default 0.5                    */
	bool crop;
	struct onx_reals crop_scale;    /* area, default 0.5,1                         */
	struct onx_reals crop_ratio;    /* proportions, default 0.75,1.3333            */
	double rotate;                  /* degrees                                     */
	double brightness, contrast, saturation;
	double erase;                   /* probability                                 */
	uint64_t given;
};
extern const struct onx_table onx_augment_table;

/* Whether anything is random at all: then nothing behind it may be cached across epochs. */
bool onx_augment_on(const struct onx_augment *g);
/* base -> fitted picture of p->h x p->w x p->c.  base is what onx_augment_base made of the decoded
 * picture with the same g; where nothing is random, out is a copy of it. */
int onx_augment_apply(const struct onx_augment *g, const struct onx_preset *p,
		      const struct onx_image *base, uint64_t seed, uint64_t epoch, uint64_t sample,
		      struct onx_image *out, struct onx_err *e) ONX_MUST;
/* What is kept of a decoded picture for all epochs: with crop on, the picture made smaller (never
 * larger) so that it just covers 1.5 times the input's size; else the fitted picture.  Always
 * applied, cached or not, so that a cache does not change results. */
int onx_augment_base(const struct onx_augment *g, const struct onx_preset *p,
		     const struct onx_image *in, struct onx_image *out, struct onx_err *e) ONX_MUST;

#endif
