/* PNG; the only user of libpng. */
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/arena.h"
#include "picture/codec_i.h"

/* libpng reports through longjmp; everything that must survive it lives here, not in locals. */
struct png {
	png_structp lib;
	png_infop info;
	const uint8_t *data;
	size_t n, at;
	jmp_buf back;
	char text[200];
	png_bytep *rows;
	struct onx_image image;
};

static void on_error(png_structp lib, png_const_charp text)
{
	struct png *p = png_get_error_ptr(lib);
	size_t n = strlen(text) < sizeof(p->text) - 1 ? strlen(text) : sizeof(p->text) - 1;

	memcpy(p->text, text, n);
	p->text[n] = '\0';
	longjmp(p->back, 1);
}

static void on_warning(png_structp lib, png_const_charp text)
{
	(void)lib;
	(void)text;
}

static void on_read(png_structp lib, png_bytep to, size_t n)
{
	struct png *p = png_get_io_ptr(lib);

	if (n > p->n - p->at)
		png_error(lib, "the PNG data is cut off");
	memcpy(to, p->data + p->at, n);
	p->at += n;
}

/* Asks libpng for 8-bit grey or RGB: palettes and short samples spread, the high byte of 16 bits,
 * alpha (from a channel or a tRNS chunk) dropped. */
static void settle(struct png *p)
{
	int type = png_get_color_type(p->lib, p->info);

	if (type == PNG_COLOR_TYPE_PALETTE)
		png_set_palette_to_rgb(p->lib);
	else if (type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(p->lib, p->info) < 8)
		png_set_expand_gray_1_2_4_to_8(p->lib);
	png_set_strip_16(p->lib);
	png_set_strip_alpha(p->lib);
	png_set_interlace_handling(p->lib);
	png_read_update_info(p->lib, p->info);
}

static void find_orientation(struct png *p, int *orientation)
{
	png_bytep exif = NULL;
	png_uint_32 n = 0;

	if (png_get_eXIf_1(p->lib, p->info, &n, &exif) && exif)
		*orientation = onx_exif_orientation(exif, n);
}

/* Runs between create and destroy; libpng may leave it by longjmp. */
static int decode(struct png *p, const char *what, int *orientation, struct onx_err *e)
{
	uint32_t w, h;
	int c, rc;

	png_set_read_fn(p->lib, p, on_read);
	png_set_user_limits(p->lib, ONX_SIDE_MAX, ONX_SIDE_MAX);
	png_set_chunk_malloc_max(p->lib, 1 << 24);
	png_read_info(p->lib, p->info);
	w = png_get_image_width(p->lib, p->info);
	h = png_get_image_height(p->lib, p->info);
	rc = onx_image_bound(w, h, what, e);
	if (rc < 0)
		return rc;
	settle(p);
	c = png_get_channels(p->lib, p->info);
	if ((c != 1 && c != 3) || png_get_bit_depth(p->lib, p->info) != 8)
		return onx_fail(e, ONX_UNSUP, "'%s': a PNG of %d channels", what, c);
	rc = onx_image_new((int)w, (int)h, c, &p->image, e);
	if (rc < 0)
		return onx_while(e, rc, "decoding '%s'", what);
	p->rows = onx_heap(h, sizeof(*p->rows));
	if (!p->rows)
		return onx_nomem(e, (double)h * sizeof(*p->rows), what);
	for (uint32_t y = 0; y < h; y++)
		p->rows[y] = p->image.px + (size_t)y * w * (size_t)c;
	png_read_image(p->lib, p->rows);
	png_read_end(p->lib, p->info);
	find_orientation(p, orientation);
	return ONX_OK;
}

int onx_png_decode(const uint8_t *data, size_t n, const char *what, const struct onx_decode *o,
		   struct onx_image *out, int *orientation, struct onx_err *e)
{
	struct png *p = onx_heap(1, sizeof(*p));
	int rc;

	(void)o;
	if (!p)
		return onx_nomem(e, sizeof(*p), what);
	p->data = data;
	p->n = n;
	p->lib = png_create_read_struct(PNG_LIBPNG_VER_STRING, p, on_error, on_warning);
	p->info = p->lib ? png_create_info_struct(p->lib) : NULL;
	if (!p->info)
		rc = onx_nomem(e, sizeof(*p), what);
	else if (setjmp(p->back) == 0)
		rc = decode(p, what, orientation, e);
	else
		rc = onx_fail(e, ONX_FORMAT, "'%s': %s", what, p->text);
	png_destroy_read_struct(&p->lib, &p->info, NULL);
	onx_heap_free(p->rows);
	if (rc < 0)
		onx_image_release(&p->image);
	else
		*out = p->image;
	onx_heap_free(p);
	return rc;
}
