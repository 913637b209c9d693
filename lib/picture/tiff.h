/* picture/tiff.h -- how the strips and tiles of a TIFF are packed. */
#ifndef ONX_TIFF_H
#define ONX_TIFF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum onx_tiff_way { ONX_TIFF_PLAIN = 1, ONX_TIFF_LZW = 5, ONX_TIFF_DEFLATE = 8, ONX_TIFF_BITS = 32773,
		    ONX_TIFF_OLD_DEFLATE = 32946 };
/* n packed bytes to exactly `want`; what comes behind them is passed over.  false: there are fewer, or they make no
 * sense.  way is one of the above. */
bool onx_tiff_unpack(unsigned way, const uint8_t *from, size_t n, uint8_t *to, size_t want);

#endif
