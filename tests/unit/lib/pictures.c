#include "pictures.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <ftw.h>
#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

void test_pixels(uint8_t *px, int w, int h, int c, int k)
{
	for (int y = 0; y < h; y++)
		for (int x = 0; x < w; x++)
			for (int i = 0; i < c; i++)
				*px++ = (uint8_t)(128 + 60 * sin(0.11 * x + i + k) +
						  40 * cos(0.07 * y * (i + 1)) + (x * 7 + y * 3) % 8);
}

static FILE *open_or_die(const char *path)
{
	FILE *f = fopen(path, "wb");

	if (!f)
		abort();
	return f;
}

void test_file(const char *path, const void *data, size_t n)
{
	FILE *f = open_or_die(path);

	if (fwrite(data, 1, n, f) != n || fclose(f) != 0)
		abort();
}

void test_jpeg(const char *path, const uint8_t *px, int w, int h, int c, bool progressive,
	       int orientation)
{
	struct jpeg_compress_struct z;
	struct jpeg_error_mgr err;
	FILE *f = open_or_die(path);
	/* EXIF: little-endian TIFF, one directory with one entry, 0x0112 SHORT. */
	uint8_t exif[] = { 'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0,
			   1, 0, 0, 0, (uint8_t)orientation, 0, 0, 0, 0, 0, 0, 0 };

	z.err = jpeg_std_error(&err);
	jpeg_create_compress(&z);
	jpeg_stdio_dest(&z, f);
	z.image_width = (JDIMENSION)w;
	z.image_height = (JDIMENSION)h;
	z.input_components = c;
	z.in_color_space = c == 1 ? JCS_GRAYSCALE : c == 3 ? JCS_RGB : JCS_CMYK;
	jpeg_set_defaults(&z);
	jpeg_set_quality(&z, 95, TRUE);
	if (progressive)
		jpeg_simple_progression(&z);
	jpeg_start_compress(&z, TRUE);
	if (orientation)
		jpeg_write_marker(&z, JPEG_APP0 + 1, exif, sizeof(exif));
	while (z.next_scanline < z.image_height) {
		JSAMPROW row = (JSAMPROW)(px + (size_t)z.next_scanline * (size_t)w * (size_t)c);

		jpeg_write_scanlines(&z, &row, 1);
	}
	jpeg_finish_compress(&z);
	jpeg_destroy_compress(&z);
	fclose(f);
}

static void png_rows(const char *path, const uint8_t *px, int w, int h, size_t line, int depth, int type,
		     const uint8_t (*palette)[3])
{
	FILE *f = open_or_die(path);
	png_structp p = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop i = png_create_info_struct(p);
	png_color colours[4];

	png_init_io(p, f);
	png_set_IHDR(p, i, (png_uint_32)w, (png_uint_32)h, depth, type, PNG_INTERLACE_NONE,
		     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	for (int k = 0; palette && k < 4; k++)
		colours[k] = (png_color){ palette[k][0], palette[k][1], palette[k][2] };
	if (palette)
		png_set_PLTE(p, i, colours, 4);
	png_write_info(p, i);
	if (depth == 16)
		png_set_swap(p);
	for (int y = 0; y < h; y++)
		png_write_row(p, px + (size_t)y * line);
	png_write_end(p, i);
	png_destroy_write_struct(&p, &i);
	fclose(f);
}

void test_png(const char *path, const uint8_t *px, int w, int h, int c)
{
	png_rows(path, px, w, h, (size_t)w * (size_t)c, 8,
		 c == 1 ? PNG_COLOR_TYPE_GRAY : c == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGBA, NULL);
}

void test_png16(const char *path, const uint16_t *px, int w, int h)
{
	png_rows(path, (const uint8_t *)px, w, h, (size_t)w * 6, 16, PNG_COLOR_TYPE_RGB, NULL);
}

void test_png_palette(const char *path, const uint8_t *index, int w, int h, const uint8_t rgb[4][3])
{
	png_rows(path, index, w, h, (size_t)w, 8, PNG_COLOR_TYPE_PALETTE, rgb);
}

void test_webp(const char *path, const uint8_t *rgb, int w, int h)
{
	uint8_t *out = NULL;
	size_t n = WebPEncodeLosslessRGB(rgb, w, h, w * 3, &out);

	test_file(path, out, n);
	WebPFree(out);
}

const char *test_folder(char *buf, size_t n)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(buf, n, "%s/onnx-data-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(buf))
		abort();
	return buf;
}

static int gone(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

void test_folder_gone(const char *dir)
{
	if (nftw(dir, gone, 16, FTW_DEPTH | FTW_PHYS) != 0)
		abort();
}
