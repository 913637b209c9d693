/* kernel/last_dw_i.h -- what the files of depthwise convolutions with channels last share: the loops over a row of
 * pixels (last_dw_rows.c), which read an image, or lines of it that are normalised as they are needed. */
#ifndef ONX_LAST_DW_I_H
#define ONX_LAST_DW_I_H
#include "kernel/last_dw.h"
#include "kernel/last_norm_i.h"
#include "kernel/slide.h"

/* Phases of the gradient, else one; w[i]: taps of s[i]. */
struct ONX_R(onx_dw_job) {
	const struct ONX_R(onx_dw_ways) *ways;
	const struct onx_slide *s;
	const real *const *w;
	size_t phases[3], stride[3];
	size_t ch, rows;                /* rows of y in all */
	bool far;                       /* strips of y are stored past the caches */
	bool near;                      /* x is in the second-level cache already */
	bool clamp;                     /* the activation is one, to [lo, hi]     */
	real lo, hi;
	const real *x;
	const struct ONX_R(onx_last_end) *end;
	real *y;
};

enum { ONX_DW_NEAR = 1 << 19 }; /* bytes that the second-level cache holds where they were just made */

/* An image of x, lines of `line` numbers.  lines != 0: line i of the image in place (first + i) % lines of x.  near:
 * what a row of y meets is in the second-level cache, and so is the row once it is stored. */
struct ONX_R(onx_dw_image) { const real *x; size_t line, first, lines; bool near; };

/* Lines of all images of x, or of dy, as a convolution takes them: normalised or shifted, where one of these is not
 * NULL, and then line i is in place i % lines if tag says so. */
struct ONX_R(onx_dw_ring) {
	const struct ONX_R(onx_last_spread) *spread;
	const struct ONX_R(onx_last_shift) *shift;
	const real *x;
	size_t line, lines, ch;         /* numbers of a line; places; channels */
	size_t *tag;
	real *at;
};

static inline size_t onx_dw_room(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

#define onx_dw_ring_lines ONX_R(onx_dw_ring_lines)
#define onx_dw_back_lines ONX_R(onx_dw_back_lines)
#define onx_dw_ring_bytes ONX_R(onx_dw_ring_bytes)
#define onx_dw_ring_at ONX_R(onx_dw_ring_at)
#define onx_dw_ring_line ONX_R(onx_dw_ring_line)
#define onx_dw_ring_fill ONX_R(onx_dw_ring_fill)

/* Lines that hold all that a row of y meets of x, a line of dx of dy. */
size_t onx_dw_ring_lines(const struct onx_conv_geo *g);
size_t onx_dw_back_lines(const struct onx_conv_geo *g);
size_t onx_dw_ring_bytes(const struct ONX_R(onx_dw_ring) *r);
/* Empty, in `room` of so many bytes. */
void onx_dw_ring_at(struct ONX_R(onx_dw_ring) *r, void *room);
/* Line i, made if it is not there. */
const real *onx_dw_ring_line(const struct ONX_R(onx_dw_ring) *r, size_t i);
/* What position o of dimension 1 meets in an image, s being the way to it, is there. */
void onx_dw_ring_fill(const struct ONX_R(onx_dw_ring) *r, const struct onx_slide *s, size_t image, size_t o);

/* Cut of the gradient of the weights into pieces of so many rows of y; *rows: how many there are. */
#define onx_dw_weights_by ONX_R(onx_dw_weights_by)
#define onx_dw_weights_scratch ONX_R(onx_dw_weights_scratch)
#define onx_dw_weights ONX_R(onx_dw_weights)
size_t onx_dw_weights_by(const struct onx_conv_geo *g, size_t *rows);
size_t onx_dw_weights_scratch(const struct onx_conv_geo *g, int threads, bool normed);
/* Called behind each row of y, with the lines of dy as they were taken. */
struct ONX_R(onx_dw_then) {
	void (*row)(const void *ctx, const struct ONX_R(onx_dw_ring) *dy, size_t piece, size_t row, int worker);
	const void *ctx;
};
/* t's dw alone.  Without norm and shift scratch is that of !normed; then: NULL, or with scratch for `normed`. */
void onx_dw_weights(struct onx_pool *pool, const struct onx_conv_geo *g, const struct ONX_R(onx_last_back) *t,
		    const struct ONX_R(onx_dw_then) *then, void *scratch);

#define onx_dw_pack ONX_R(onx_dw_pack)
#define onx_dw_data_of ONX_R(onx_dw_data_of)
#define onx_dw_ready ONX_R(onx_dw_ready)
#define onx_dw_line ONX_R(onx_dw_line)

/* The taps of s, in their order, from w [ch][kern]. */
void onx_dw_pack(const struct onx_slide *s, size_t ch, const real *w, real *p);
/* Slides and weights of the gradient of the data; s and at have room for all phases, taps for all weights. */
void onx_dw_data_of(const struct onx_conv_geo *g, const real *w, struct onx_slide *s, const real **at, real *taps,
		    struct ONX_R(onx_dw_job) *j);
/* What follows from the rest of it, for n images. */
void onx_dw_ready(struct ONX_R(onx_dw_job) *j, size_t n);
/* Line i of all lines of y, to `y`; z is NULL or what stands there before.  Of its image. */
void onx_dw_line(const struct ONX_R(onx_dw_job) *j, size_t i, const struct ONX_R(onx_dw_image) *image, const real *z,
		 real *y);

#endif
