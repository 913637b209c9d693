/* PBM, PGM and PPM, as text (P1 to P3) and as bytes (P4 to P6). */
#include <ctype.h>

#include "picture/codec_i.h"

struct pnm { const uint8_t *d; size_t n, at; };

/* A whole number of the header or of the pixels; text behind '#' is none.  -1: there is none, or it is above `most`. */
static int64_t number(struct pnm *p, int64_t most)
{
	int64_t v = 0;

	while (p->at < p->n && (isspace(p->d[p->at]) || p->d[p->at] == '#'))
		if (p->d[p->at++] == '#')
			while (p->at < p->n && p->d[p->at] != '\n')
				p->at++;
	if (p->at == p->n || !isdigit(p->d[p->at]))
		return -1;
	for (; p->at < p->n && isdigit(p->d[p->at]); p->at++)
		if ((v = 10 * v + p->d[p->at] - '0') > most)
			return -1;
	return v;
}

/* A 0 or 1 of P1: they need no space between them. */
static int64_t digit(struct pnm *p)
{
	while (p->at < p->n && isspace(p->d[p->at]))
		p->at++;
	return p->at < p->n && (p->d[p->at] == '0' || p->d[p->at] == '1') ? p->d[p->at++] - '0' : -1;
}

static int64_t sample(struct pnm *p, int kind, int64_t most, size_t x)
{
	if (kind == 1)
		return digit(p);
	if (kind < 4)
		return number(p, most);
	if (kind == 4) {                        /* rows begin with a byte of their own */
		p->at += x > 0 && x % 8 == 0;
		return p->at < p->n ? p->d[p->at] >> (7 - x % 8) & 1 : -1;
	}
	if (p->n - p->at < (most > 255 ? 2u : 1u))
		return -1;
	const int64_t high = p->d[p->at++];
	const int64_t v = most > 255 ? high << 8 | p->d[p->at++] : high;

	return v <= most ? v : most;
}

static int pixels(struct pnm *p, int kind, int64_t most, const char *what, struct onx_image *out, struct onx_err *e)
{
	const size_t row = (size_t)out->w * (size_t)out->c;

	for (size_t y = 0; y < (size_t)out->h; y++) {
		for (size_t x = 0; x < row; x++) {
			const int64_t v = sample(p, kind, most, x);
			if (v < 0)
				return onx_fail(e, ONX_FORMAT, "'%s': the PNM data is damaged or cut off", what);
			const bool black = kind % 3 == 1;               /* 1 is black in a PBM */
			out->px[y * row + x] = (uint8_t)(black ? 255 * (1 - v) : (v * 510 + most) / (2 * most));
		}
		p->at += kind == 4;
	}
	return ONX_OK;
}

int onx_pnm_decode(const uint8_t *data, size_t n, const char *what, const struct onx_decode *o,
		   struct onx_image *out, int *orientation, struct onx_err *e)
{
	struct pnm p = { data, n, 2 };
	const int kind = data[1] - '0';
	const int64_t w = number(&p, INT32_MAX), h = number(&p, INT32_MAX);
	const int64_t most = kind % 3 == 1 ? 1 : number(&p, 65535);

	(void)o, (void)orientation;
	if (w < 0 || h < 0 || most < 1)
		return onx_fail(e, ONX_FORMAT, "'%s': the PNM header is damaged", what);
	int rc = onx_image_bound((uint64_t)w, (uint64_t)h, what, e);
	if (rc < 0)
		return rc;
	p.at += kind > 3 && p.at < n;           /* one space before the bytes */
	if ((rc = onx_image_new((int)w, (int)h, kind % 3 == 0 ? 3 : 1, out, e)) < 0)
		return onx_while(e, rc, "decoding '%s'", what);
	rc = pixels(&p, kind, most, what, out, e);
	if (rc < 0)
		onx_image_release(out);
	return rc;
}
