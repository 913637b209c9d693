/* JPEG; the only user of libjpeg-turbo. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>

#include "base/arena.h"
#include "picture/codec_i.h"

/* libjpeg reports through longjmp; everything that must survive it lives here, not in locals. */
struct jpeg {
	struct jpeg_decompress_struct lib;
	struct jpeg_error_mgr mgr;
	jmp_buf back;
	char text[JMSG_LENGTH_MAX];
	bool cut;                       /* the data ended early */
	uint8_t *row;                   /* one line of CMYK     */
	struct onx_image image;
};

static void on_error(j_common_ptr c)
{
	struct jpeg *j = (struct jpeg *)c->client_data;

	c->err->format_message(c, j->text);
	longjmp(j->back, 1);
}

static void on_message(j_common_ptr c, int level)
{
	struct jpeg *j = (struct jpeg *)c->client_data;

	if (level < 0 && c->err->msg_code == JWRN_JPEG_EOF)
		j->cut = true;
}

static void on_output(j_common_ptr c)
{
	(void)c;
}

/* Adobe stores CMYK inverted: 255 is no ink.  Pillow: rgb = 255 - k - cmy * (255 - k) / 255, with the
 * division rounded. */
static void cmyk_to_rgb(const uint8_t *in, uint8_t *out, int w)
{
	for (int x = 0; x < w; x++, in += 4, out += 3) {
		int nk = in[3];

		for (int k = 0; k < 3; k++) {
			int t = (255 - in[k]) * nk + 128;

			out[k] = (uint8_t)(nk - (((t >> 8) + t) >> 8));
		}
	}
}

/* The largest of 1/8, 1/4, 1/2 that leaves both sides at least twice what is wanted, as Pillow's
 * draft() does for thumbnail(). */
static void choose_scale(struct jpeg_decompress_struct *d, const struct onx_decode *o, bool turned)
{
	const unsigned w = 2u * (unsigned)(turned ? o->shrink_h : o->shrink_w);
	const unsigned h = 2u * (unsigned)(turned ? o->shrink_w : o->shrink_h);

	for (unsigned den = 8; den > 1; den /= 2)
		if (d->image_width / den >= w && d->image_height / den >= h) {
			d->scale_num = 1;
			d->scale_denom = den;
			return;
		}
}

static void choose_colours(struct jpeg_decompress_struct *d)
{
	bool cmyk = d->jpeg_color_space == JCS_CMYK || d->jpeg_color_space == JCS_YCCK;

	if (cmyk)
		d->out_color_space = JCS_CMYK;
	else if (d->jpeg_color_space == JCS_GRAYSCALE)
		d->out_color_space = JCS_GRAYSCALE;
	else
		d->out_color_space = JCS_RGB;
}

static int read_lines(struct jpeg *j, const char *what, struct onx_err *e)
{
	struct jpeg_decompress_struct *d = &j->lib;
	bool cmyk = d->out_color_space == JCS_CMYK;
	int c = d->out_color_space == JCS_GRAYSCALE ? 1 : 3, rc;
	size_t line;

	rc = onx_image_new((int)d->output_width, (int)d->output_height, c, &j->image, e);
	if (rc < 0)
		return onx_while(e, rc, "decoding '%s'", what);
	if (cmyk) {
		j->row = onx_heap(d->output_width, 4);
		if (!j->row)
			return onx_nomem(e, 4.0 * d->output_width, what);
	}
	line = (size_t)j->image.w * (size_t)c;
	while (d->output_scanline < d->output_height) {
		uint8_t *to = j->image.px + d->output_scanline * line;
		JSAMPROW row = cmyk ? j->row : to;

		if (jpeg_read_scanlines(d, &row, 1) == 1 && cmyk)
			cmyk_to_rgb(j->row, to, j->image.w);
	}
	if (j->cut)
		return onx_fail(e, ONX_FORMAT, "'%s': the JPEG data is cut off", what);
	return ONX_OK;
}

/* Runs between jpeg_create and jpeg_destroy; libjpeg may leave it by longjmp. */
static int decode(struct jpeg *j, const uint8_t *data, size_t n, const char *what,
		  const struct onx_decode *o, int *orientation, struct onx_err *e)
{
	struct jpeg_decompress_struct *d = &j->lib;
	int rc;

	jpeg_mem_src(d, data, (unsigned long)n);
	jpeg_save_markers(d, JPEG_APP0 + 1, 0xffff);
	jpeg_read_header(d, TRUE);
	rc = onx_image_bound(d->image_width, d->image_height, what, e);
	if (rc < 0)
		return rc;
	for (jpeg_saved_marker_ptr m = d->marker_list; m; m = m->next)
		if (m->data_length > 6 && memcmp(m->data, "Exif\0", 6) == 0) {
			*orientation = onx_exif_orientation(m->data, m->data_length);
			break;
		}
	if (o->shrink_w > 0 && o->shrink_h > 0)
		choose_scale(d, o, *orientation >= 5);
	choose_colours(d);
	jpeg_start_decompress(d);
	return read_lines(j, what, e);
}

int onx_jpeg_decode(const uint8_t *data, size_t n, const char *what, const struct onx_decode *o,
		    struct onx_image *out, int *orientation, struct onx_err *e)
{
	struct jpeg *j = onx_heap(1, sizeof(*j));
	int rc;

	if (!j)
		return onx_nomem(e, sizeof(*j), what);
	j->lib.err = jpeg_std_error(&j->mgr);
	j->lib.client_data = j;
	j->mgr.error_exit = on_error;
	j->mgr.emit_message = on_message;
	j->mgr.output_message = on_output;
	if (setjmp(j->back) == 0) {
		jpeg_create_decompress(&j->lib);
		rc = decode(j, data, n, what, o, orientation, e);
	} else {
		rc = onx_fail(e, ONX_FORMAT, "'%s': %s", what, j->cut ? "the JPEG data is cut off"
								     : j->text);
	}
	jpeg_destroy_decompress(&j->lib);
	onx_heap_free(j->row);
	if (rc < 0)
		onx_image_release(&j->image);
	else
		*out = j->image;
	onx_heap_free(j);
	return rc;
}
