/* picture/image.h -- pictures: compressed files to pixels.
 *
 * JPEG (picture/jpeg.c, libjpeg-turbo), PNG (picture/png.c, libpng), WebP (picture/webp.c, libwebp), BMP and
 * the portable formats PBM, PGM, PPM and TIFF (picture/bmp.c, picture/pnm.c, picture/tiff.c, our own), told apart by
 * their first bytes.  Colours become what Pillow's convert('RGB') or convert('L') makes of them: alpha is dropped, 16
 * bits keep the high byte (of a PGM or PPM: are rounded), CMYK and YCCK are taken as Adobe writes them.
 * EXIF orientation (picture/exif.c, libexif) of the first three, and that of a TIFF, is applied: pixels come out
 * upright.  JPEG 2000 is named and refused: it would be one more library for everybody to install, for pictures that
 * few have in such folders; `opj_decompress` makes PNG or TIFF of them.
 *
 * Files are untrusted: a picture above 2^28 pixels or 65,500 on a side is refused before memory is
 * taken; a truncated file is a fault, not a half-grey picture.  Faults name the file.
 * The caller owns a struct onx_image: zero-initialise, release. */
#ifndef ONX_IMAGE_H
#define ONX_IMAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct onx_image {
	int w, h, c;                    /* c: 1 grey, 3 red-green-blue                 */
	uint8_t *px;                    /* h * w * c, rows top down, channels last     */
};

struct onx_decode {
	int channels;                   /* 1, 3; 0: grey files give 1, all others 3    */
	int shrink_w, shrink_h;         /* > 0: a JPEG may be decoded at 1/2, 1/4, 1/8 (DCT scaling) as
					   long as both sides stay at least twice this, as Pillow's
					   draft() does; much faster.  Resized to that size, pixels
					   differ from the full way by 0.8 grey levels on the average of
					   small photographs (0.2 of large ones), 12 to 40 at the
					   sharpest edges                                     */
	bool lying;                     /* as the pixels are stored, whatever the EXIF orientation says */
};

/* `what` names the bytes in faults.  o may be NULL: native channels, full size. */
int onx_image_decode(const void *data, size_t n, const char *what, const struct onx_decode *o,
		     struct onx_image *out, struct onx_err *e) ONX_MUST;
int onx_image_read(const char *path, const struct onx_decode *o, struct onx_image *out,
		   struct onx_err *e) ONX_MUST;
void onx_image_release(struct onx_image *m);

/* "JPEG", "PNG", "WebP", "BMP", "PNM", "TIFF" by the first bytes (12 suffice), or NULL. */
const char *onx_image_kind(const void *data, size_t n);
/* By the ending of a file name, in any case. */
bool onx_image_named(const char *path);
/* Those endings, ".jpg, .jpeg, ... or .tiff", as a text of at most n bytes. */
void onx_image_endings(char *to, size_t n);

/* An empty picture of that size (zeroed pixels). */
int onx_image_new(int w, int h, int c, struct onx_image *out, struct onx_err *e) ONX_MUST;
/* ITU-R 601 luma as Pillow: (19595 R + 38470 G + 7471 B + 32768) >> 16. */
static inline uint8_t onx_luma(uint8_t r, uint8_t g, uint8_t b)
{
	return (uint8_t)((19595u * r + 38470u * g + 7471u * b + 32768u) >> 16);
}
/* In place: 1 channel to 3 (repeated) or 3 to 1 (luma). */
int onx_image_channels(struct onx_image *m, int c, struct onx_err *e) ONX_MUST;

#endif
