/* picture/codec_i.h -- what picture/image.c and the files of the formats have in common.
 * A codec gets bytes whose first ones are its own, gives pixels in 1 or 3 channels as the file has
 * them (CMYK, palette and alpha already settled), and the EXIF orientation 1..8. */
#ifndef ONX_CODEC_I_H
#define ONX_CODEC_I_H
#include "picture/image.h"

#define ONX_SIDE_MAX 65500
#define ONX_PIXELS_MAX (1L << 28)

/* Fails if the size is absurd: before memory is taken. */
int onx_image_bound(uint64_t w, uint64_t h, const char *what, struct onx_err *e) ONX_MUST;

typedef int onx_codec_fn(const uint8_t *data, size_t n, const char *what, const struct onx_decode *o,
			 struct onx_image *out, int *orientation, struct onx_err *e);
onx_codec_fn onx_jpeg_decode, onx_png_decode, onx_webp_decode, onx_bmp_decode, onx_pnm_decode, onx_tiff_decode;

/* Orientation 1..8 in an EXIF block (with or without "Exif\0\0" before it); 1 if there is none. */
int onx_exif_orientation(const uint8_t *data, size_t n);

#endif
