/* data/preset.h -- how pixels or columns become the numbers that a model wants.
 *
 * Pictures.  A preset is a row: name, channel order, scale, mean, std, fit.
 *
 *     x = (pixel * scale - mean[c]) / std[c]          pixel 0..255, c in the order of the input
 *
 *     imagenet  RGB, scale 1/255, mean .485 .456 .406, std .229 .224 .225     fit crop
 *     tf        RGB, scale 1/127.5, mean 1 (so -1..1)                         fit squash
 *     caffe     BGR, scale 1, mean 104 117 123                                fit crop
 *     unit      RGB, scale 1/255 (0..1)                                       fit squash
 *     raw       RGB, scale 1 (0..255)                                         fit squash
 *
 * fit: squash = resized to the input's size, proportions be damned; crop = as torchvision's
 * evaluation: resized so that the picture covers size / 0.875, then the centre is cut out; pad =
 * resized to fit inside, centred, the rest filled with the mean colour (zero after the formula).
 * Size, number of channels (1: luma) and layout (NCHW or NHWC) come from the model's input; where
 * its height and width are symbolic, `size` says, else 224.  A row of one-channel statistics is the
 * mean of its three (imagenet: mean .449, std .226).
 *
 * Tables.  `standard`: (x - mean) / std of each feature, learnt on the training part; `none`.
 * Arrays.  `none` always.
 *
 * The resolved preset is stored in the model as the mark onnx_adapt.preprocess (JSON), so that
 * onnx-eval and onnx-run need not be told again.  Text and lists belong to the arena given. */
#ifndef ONX_PRESET_H
#define ONX_PRESET_H
#include "base/field.h"
#include "picture/image.h"
#include "data/resample.h"
#include "data/source.h"

enum onx_fit { ONX_FIT_AUTO, ONX_FIT_SQUASH, ONX_FIT_CROP, ONX_FIT_PAD };

/* As the user says it; onx_preset_table describes it for argv and recipes. */
struct onx_preset_opts {
	int preset;                     /* row: auto imagenet tf caffe unit raw standard none       */
	int fit;                        /* enum onx_fit                                             */
	struct onx_ints size;           /* "224" or "H,W": where the model leaves it open           */
	struct onx_reals mean, std;     /* one number or one a channel; empty: the row's            */
	double scale;                   /* 0: the row's                                             */
	int order;                      /* auto, rgb, bgr                                           */
	bool shrink;                    /* large JPEGs by DCT scaling (picture/image.h)                */
	uint64_t given;
};
extern const struct onx_table onx_preset_table;

enum onx_preset_kind { ONX_PRESET_NONE, ONX_PRESET_PICTURE, ONX_PRESET_TABLE };
struct onx_preset {
	enum onx_preset_kind kind;
	const char *name;
	/* picture */
	int h, w, c;
	bool nhwc, bgr, flat, shrink;   /* flat: the input is [N, h*w*c]                            */
	enum onx_fit fit;               /* never AUTO                                               */
	double scale, mean[4], std[4];
	/* table */
	struct onx_columns columns;
	const double *col_mean, *col_std;       /* columns.n_feature; NULL: preset none             */
};

/* Settles what is open: options that were given win, then `stored` (text of the mark, may be NULL),
 * then the defaults (auto = imagenet for colour pictures, unit for grey ones, standard for tables,
 * none for arrays).  `src` may be NULL (onnx-run of one picture). */
int onx_preset_resolve(const struct onx_preset_opts *o, const char *stored,
		       const struct onx_data_want *want, const struct onx_source *src,
		       struct onx_arena *a, struct onx_preset *out, struct onx_err *e) ONX_MUST;
/* The number of a preset's name in the options; 0, which is auto, if there is none of that name. */
int onx_preset_find(const char *name);
/* `standard`: mean and standard deviation of the samples in list (n of them); no-op otherwise. */
int onx_preset_learn(struct onx_preset *p, const struct onx_source *src, const uint32_t *list,
		     size_t n, struct onx_arena *a, struct onx_err *e) ONX_MUST;
/* The mark's text, and back. */
int onx_preset_text(const struct onx_preset *p, struct onx_buf *out, struct onx_err *e) ONX_MUST;
int onx_preset_parse(const char *text, struct onx_arena *a, struct onx_preset *out,
		     struct onx_err *e) ONX_MUST;

/* Decoded picture -> fitted picture of h x w x c (uint8, RGB or grey). */
int onx_preset_fit(const struct onx_preset *p, const struct onx_image *in, struct onx_image *out,
		   struct onx_err *e) ONX_MUST;
/* Fitted picture -> one sample in memory form at v (v->n == h * w * c; layout, order, formula). */
void onx_preset_pixels(const struct onx_preset *p, const struct onx_image *fitted,
		       const struct onx_view *v);
/* How a picture file is to be decoded for p: its channels and, where p->shrink, a size that JPEGs may
 * be decoded down to (picture/image.h) -- `times` the size that fitting makes of them. */
struct onx_decode onx_preset_decode(const struct onx_preset *p, int times);
/* The three steps for one file: decode, fit, formula.  For onnx-run's NAME=FILE. */
int onx_preset_file(const struct onx_preset *p, const char *path, const struct onx_view *v,
		    struct onx_err *e) ONX_MUST;

#endif
