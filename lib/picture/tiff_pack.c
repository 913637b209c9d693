/* picture/tiff_pack.c -- the packings of TIFF 6.0: none, PackBits, LZW (codes from the high bit down, which grow one
 * early), and Deflate of the Photoshop notes. */
#include <string.h>

#include "base/gz.h"
#include "picture/tiff.h"

/* A byte c below 128: c + 1 bytes as they are; above: the next one 257 - c times; 128: nothing. */
static bool unpack_bits(const uint8_t *from, size_t n, uint8_t *to, size_t want)
{
	size_t i = 0, k = 0;

	while (k < want && i < n) {
		const uint8_t c = from[i++];
		const size_t run = c < 128 ? c + 1u : 257u - c, room = want - k, take = run < room ? run : room;

		if (c == 128)
			continue;
		if (i + (c < 128 ? take : 1) > n)
			return false;
		if (c < 128)
			memcpy(to + k, from + i, take);
		else
			memset(to + k, from[i], take);
		i += c < 128 ? run : 1;
		k += take;
	}
	return k == want;
}

enum { CLEAR = 256, END = 257, CODES = 4096 };

/* Each code stands for bytes that were written before: where, and how many. */
static bool unpack_lzw(const uint8_t *from, size_t n, uint8_t *to, size_t want)
{
	size_t start[CODES], length[CODES], k = 0, last = 0, last_n = 0;
	uint32_t bits = 0, have = 0, width = 9, next = END + 1;

	for (size_t i = 0; k < want; ) {
		while (have < width && i < n) {
			bits = bits << 8 | from[i++];
			have += 8;
		}
		if (have < width)
			return false;
		const uint32_t code = bits >> (have - width) & ((1u << width) - 1);
		have -= width;
		if (code == END)
			return false;
		if (code == CLEAR) {
			next = END + 1;
			width = 9;
			last_n = 0;
			continue;
		}
		if (code >= next && (code > next || !last_n))
			return false;
		if (last_n && next < CODES) {           /* the last bytes, and the first of these */
			start[next] = last;
			length[next++] = last_n + 1;
		} else if (code >= next) {
			return false;
		}
		const size_t at = k, run = code < CLEAR ? 1 : length[code], room = want - k;
		const size_t take = run < room ? run : room;
		if (code < CLEAR)
			to[k++] = (uint8_t)code;
		for (size_t j = 0; code >= CLEAR && j < take; j++)      /* may overlap what it writes */
			to[k++] = to[start[code] + j];
		last = at;
		last_n = run;
		width = next >= 2047 ? 12 : next >= 1023 ? 11 : next >= 511 ? 10 : 9;
	}
	return true;
}

bool onx_tiff_unpack(unsigned way, const uint8_t *from, size_t n, uint8_t *to, size_t want)
{
	switch (way) {
	case ONX_TIFF_PLAIN:
		if (n < want)
			return false;
		memcpy(to, from, want);
		return true;
	case ONX_TIFF_BITS: return unpack_bits(from, n, to, want);
	case ONX_TIFF_LZW: return unpack_lzw(from, n, to, want);
	default: return onx_inflate(from, n, to, want);
	}
}
