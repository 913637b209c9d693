/* WebP; the only user of libwebp. */
#include <string.h>
#include <webp/decode.h>

#include "picture/codec_i.h"

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* A WebP file is RIFF: "RIFF" size "WEBP", then chunks of a name, a size and padded data. */
static int find_orientation(const uint8_t *d, size_t n)
{
	size_t at = 12;

	while (at < n && n - at >= 8) {
		size_t len = le32(d + at + 4);

		if (len > n - at - 8)
			return 1;
		if (memcmp(d + at, "EXIF", 4) == 0)
			return onx_exif_orientation(d + at + 8, len);
		at += 8 + len + (len & 1);
	}
	return 1;
}

int onx_webp_decode(const uint8_t *data, size_t n, const char *what, const struct onx_decode *o,
		    struct onx_image *out, int *orientation, struct onx_err *e)
{
	WebPBitstreamFeatures f;
	size_t bytes;
	int rc;

	(void)o;
	switch (WebPGetFeatures(data, n, &f)) {
	case VP8_STATUS_OK:
		break;
	case VP8_STATUS_NOT_ENOUGH_DATA:
		return onx_fail(e, ONX_FORMAT, "'%s': the WebP data is cut off", what);
	default:
		return onx_fail(e, ONX_FORMAT, "'%s': the WebP header is damaged", what);
	}
	if (f.has_animation)
		return onx_fail(e, ONX_UNSUP, "'%s': an animated WebP, wanted a still picture", what);
	rc = onx_image_bound((uint64_t)f.width, (uint64_t)f.height, what, e);
	if (rc < 0)
		return rc;
	rc = onx_image_new(f.width, f.height, 3, out, e);
	if (rc < 0)
		return onx_while(e, rc, "decoding '%s'", what);
	bytes = (size_t)f.width * (size_t)f.height * 3;
	if (!WebPDecodeRGBInto(data, n, out->px, bytes, f.width * 3)) {
		onx_image_release(out);
		return onx_fail(e, ONX_FORMAT, "'%s': the WebP data is damaged or cut off", what);
	}
	*orientation = find_orientation(data, n);
	return ONX_OK;
}
