/* kernel/last.h -- convolution with channels last, forward and both gradients.
 *
 *     x  [n][in][groups*c]     y, z  [n][out][groups*m]     w  [groups*m][c][kern]     b  [groups*m]
 *     y[n,o,g,m] = f(b[g,m] + sum over k,c of w[g,m,c,k] * x[n, o*stride + k*dil - pad, g,c] + z[n,o,g,m])
 *
 * (ONNX Conv over one to three dimensions; c and m count channels of ONE group; w stays as ONNX has it).
 * With channels last a pointwise convolution is one tall matrix product whose rows are pixels, any other
 * window a sum of such products over the taps, and a depthwise one a vector loop over channels.
 *
 * Weights are packed into the order in which the kernel reads them: once per plan where they are
 * frozen, else at the start of each forward.  Ways to compute, in order of preference: the first that
 * fits is taken; `ref`, the formula with sums in double, fits always.  Work is cut by size, every sum has
 * one order: the bits do not depend on the number of threads.  Sizes are in bytes; memory is 64-byte
 * aligned.  Scratch may be 0 bytes (NULL). */
#ifndef ONX_LAST_H
#define ONX_LAST_H
#include "kernel/conv.h"
#include "kernel/fuse.h"

struct ONX_R(onx_last_end) {            /* what happens to a sum before it is stored */
	const real *b, *z;              /* NULL: none.  z may be y                   */
	struct onx_fuse f;
	size_t pitch;                   /* from a pixel of y and z to the next, where y is a part of more channels;
					   0: groups * m.  Of the ways `dense` and `winograd` alone      */
};

struct ONX_R(onx_last_way) {
	const char *name;
	bool (*fits)(const struct onx_conv_geo *g);
	size_t (*packed)(const struct onx_conv_geo *g);
	void (*pack)(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, void *to);
	size_t (*scratch)(const struct onx_conv_geo *g, int threads);
	void (*forward)(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const void *packed,
			const struct ONX_R(onx_last_end) *end, real *y, void *scratch);
	/* From w as it stands; NULL: it is packed, and then forward. */
	size_t (*fresh_scratch)(const struct onx_conv_geo *g, int threads);
	void (*fresh)(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const real *w,
		      const struct ONX_R(onx_last_end) *end, real *y, void *scratch);
};
/* With `add` the result is added to what dx, dw, db hold; else they are not read. */
struct ONX_R(onx_last_grad) {           /* gradients; chosen apart from the way forward */
	const char *name;
	bool (*fits)(const struct onx_conv_geo *g);
	size_t (*scratch)(const struct onx_conv_geo *g, int threads);
	void (*data)(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, const real *dy,
		     real *dx, bool add, void *scratch);                        /* of x */
	void (*weights)(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const real *dy,
			real *dw, bool add, void *scratch);                     /* of w */
};

#define onx_last_way_ref ONX_R(onx_last_way_ref)
#define onx_last_way_dense ONX_R(onx_last_way_dense)
#define onx_last_way_depthwise ONX_R(onx_last_way_depthwise)
#define onx_last_way_winograd ONX_R(onx_last_way_winograd)
#define onx_last_grad_ref ONX_R(onx_last_grad_ref)
#define onx_last_grad_dense ONX_R(onx_last_grad_dense)
#define onx_last_grad_depthwise ONX_R(onx_last_grad_depthwise)
#define onx_last_grad_winograd ONX_R(onx_last_grad_winograd)
#define onx_last_bgrad ONX_R(onx_last_bgrad)

extern const struct ONX_R(onx_last_way) onx_last_way_ref;               /* last_ref.c */
extern const struct ONX_R(onx_last_grad) onx_last_grad_ref;
extern const struct ONX_R(onx_last_way) onx_last_way_dense;             /* last_dense.c */
extern const struct ONX_R(onx_last_grad) onx_last_grad_dense;           /* last_dense_grad.c */
extern const struct ONX_R(onx_last_way) onx_last_way_depthwise;         /* last_dw.c */
extern const struct ONX_R(onx_last_grad) onx_last_grad_depthwise;       /* last_dw_grad.c */
extern const struct ONX_R(onx_last_way) onx_last_way_winograd;          /* wino_way.c */
extern const struct ONX_R(onx_last_grad) onx_last_grad_winograd;

/* db[ch] = sum over the rows of dy [rows][ch], in blocks of single precision added in double (last_bias.c). */
void onx_last_bgrad(struct onx_pool *pool, size_t rows, size_t ch, const real *dy, real *db, bool add);

#endif
