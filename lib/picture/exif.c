/* The orientation of a picture; the only user of libexif. */
#include <libexif/exif-data.h>
#include <string.h>

#include "picture/codec_i.h"

int onx_exif_orientation(const uint8_t *data, size_t n)
{
	static const uint8_t start[6] = { 'E', 'x', 'i', 'f', 0, 0 };
	uint8_t block[6 + 4096];
	int orientation = 1;
	ExifData *d;
	ExifEntry *entry;

	/* Orientation stands in the first directory; an EXIF block larger than a JPEG segment is not
	 * worth a look, and a bare TIFF block gets the prefix that libexif wants. */
	if (n < 14 || n > 1 << 16)
		return 1;
	if (memcmp(data, start, sizeof(start)) != 0) {
		size_t take = n < 4096 ? n : 4096;

		memcpy(block, start, sizeof(start));
		memcpy(block + sizeof(start), data, take);
		data = block;
		n = take + sizeof(start);
	}
	d = exif_data_new();
	if (!d)
		return 1;
	exif_data_unset_option(d, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
	exif_data_load_data(d, data, (unsigned)n);
	entry = exif_content_get_entry(d->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
	if (entry && entry->format == EXIF_FORMAT_SHORT && entry->components >= 1 && entry->size >= 2)
		orientation = exif_get_short(entry->data, exif_data_get_byte_order(d));
	exif_data_unref(d);
	return orientation >= 1 && orientation <= 8 ? orientation : 1;
}
