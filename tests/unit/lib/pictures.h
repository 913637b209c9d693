/* pictures.h -- small picture files and folders for the tests of lib/data. */
#ifndef TEST_PICTURES_H
#define TEST_PICTURES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A smooth picture with a little texture: channel values between 20 and 235; k varies it. */
void test_pixels(uint8_t *px, int w, int h, int c, int k);
/* Channels: 1 grey, 3 RGB, 4 CMYK stored inverted, as Adobe does.  orientation 0: no EXIF. */
void test_jpeg(const char *path, const uint8_t *px, int w, int h, int c, bool progressive,
	       int orientation);
void test_png(const char *path, const uint8_t *px, int w, int h, int c);  /* c: 1, 3, 4 (RGBA) */
void test_png16(const char *path, const uint16_t *px, int w, int h);      /* RGB */
void test_png_palette(const char *path, const uint8_t *index, int w, int h, const uint8_t rgb[4][3]);
void test_webp(const char *path, const uint8_t *rgb, int w, int h);       /* lossless */
void test_file(const char *path, const void *data, size_t n);
/* A fresh folder under $TMPDIR or /tmp in buf; removed, with all in it, by test_folder_gone. */
const char *test_folder(char *buf, size_t n);
void test_folder_gone(const char *dir);

#endif
