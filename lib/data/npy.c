#include "data/npy.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

static const char magic[6] = { '\x93', 'N', 'U', 'M', 'P', 'Y' };

/* Kind and width as NumPy spells them, and what they are to ONNX. */
static const struct npy_type {
	char kind;
	uint8_t width;
	enum onx_dtype type;
} types[] = {
	{ 'f', 4, ONX_FLOAT },   { 'f', 8, ONX_DOUBLE },    { 'f', 2, ONX_FLOAT16 },
	{ 'i', 1, ONX_INT8 },    { 'i', 2, ONX_INT16 },     { 'i', 4, ONX_INT32 },
	{ 'i', 8, ONX_INT64 },   { 'u', 1, ONX_UINT8 },     { 'u', 2, ONX_UINT16 },
	{ 'u', 4, ONX_UINT32 },  { 'u', 8, ONX_UINT64 },    { 'b', 1, ONX_BOOL },
	{ 'c', 8, ONX_COMPLEX64 }, { 'c', 16, ONX_COMPLEX128 },
	{ 0, 0, ONX_UNDEFINED }
};

struct header {
	char order, kind;               /* '<', '>', '|', '='; 'f', 'i', ..., 'S', 'U' */
	int64_t size;                   /* bytes of one element                        */
	bool fortran;
	unsigned seen;                  /* bits: descr, fortran_order, shape           */
	struct onx_shape shape;
	enum onx_dtype type;
	size_t at;                      /* where the elements begin                    */
};

/* A cursor over the header's text, which is a Python dict of three keys. */
struct text { const char *p, *end; };

static void blanks(struct text *t)
{
	while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t'))
		t->p++;
}

static bool take(struct text *t, char c)
{
	blanks(t);
	if (t->p == t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

static bool word(struct text *t, const char *w)
{
	size_t n = strlen(w);

	blanks(t);
	if ((size_t)(t->end - t->p) < n || memcmp(t->p, w, n) != 0)
		return false;
	t->p += n;
	return true;
}

static bool number(struct text *t, int64_t *out)
{
	int64_t v = 0;
	const char *start;

	blanks(t);
	for (start = t->p; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++) {
		if (v > (INT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (*t->p - '0');
	}
	*out = v;
	return t->p > start;
}

static bool read_descr(struct text *t, struct header *h)
{
	const char *orders = "<>|=";
	char quote;

	blanks(t);
	if (t->end - t->p < 4 || (*t->p != '\'' && *t->p != '"'))
		return false;
	quote = *t->p++;
	if (!strchr(orders, *t->p))
		return false;
	h->order = *t->p++;
	h->kind = *t->p++;
	return number(t, &h->size) && take(t, quote);
}

static bool read_shape(struct text *t, struct onx_shape *s)
{
	if (!take(t, '('))
		return false;
	for (s->rank = 0; !take(t, ')'); s->rank++) {
		if (s->rank == ONX_RANK || !number(t, &s->dim[s->rank]))
			return false;
		(void)word(t, "L");     /* Python 2 wrote long integers so */
		if (!take(t, ',')) {
			s->rank++;
			return take(t, ')');
		}
	}
	return true;
}

static bool read_dict(struct text *t, struct header *h)
{
	if (!take(t, '{'))
		return false;
	while (!take(t, '}')) {
		unsigned bit;
		bool ok;

		if (word(t, "'descr':")) {
			bit = 1;
			ok = read_descr(t, h);
		} else if (word(t, "'fortran_order':")) {
			bit = 2;
			h->fortran = word(t, "True");
			ok = h->fortran || word(t, "False");
		} else if (word(t, "'shape':")) {
			bit = 4;
			ok = read_shape(t, &h->shape);
		} else {
			return false;
		}
		if (!ok || (h->seen & bit))
			return false;
		h->seen |= bit;
		(void)take(t, ',');
	}
	return h->seen == 7;
}

static int element_type(struct header *h, const char *what, struct onx_err *e)
{
	const struct npy_type *t;

	if (h->kind == 'S' || h->kind == 'U') {
		if (h->size < 1 || h->size > 1 << 16)
			return onx_fail(e, ONX_UNSUP, "'%s': strings of %" PRId64 " characters",
					what, h->size);
		h->type = ONX_STRING;
		h->size *= h->kind == 'U' ? 4 : 1;
		return ONX_OK;
	}
	for (t = types; t->kind; t++)
		if (t->kind == h->kind && t->width == h->size)
			break;
	if (!t->kind)
		return onx_fail(e, ONX_UNSUP,
				"'%s': elements of NumPy type '%c%" PRId64 "', wanted f, i, u, b or c",
				what, h->kind >= ' ' && h->kind < 127 ? h->kind : '?', h->size);
	h->type = t->type;
	return ONX_OK;
}

static int read_header(const uint8_t *d, size_t n, const char *what, struct header *h,
		       struct onx_err *e)
{
	size_t len, fixed;
	struct text t;

	memset(h, 0, sizeof(*h));
	if (n < 10 || memcmp(d, magic, sizeof(magic)) != 0)
		return onx_fail(e, ONX_FORMAT, "'%s' is not a .npy file (%zu bytes, wrong start)",
				what, n);
	if (d[6] < 1 || d[6] > 3)
		return onx_fail(e, ONX_UNSUP, "'%s': .npy format %d.%d, wanted 1, 2 or 3", what,
				d[6], d[7]);
	fixed = d[6] == 1 ? 10 : 12;
	if (n < fixed)
		return onx_fail(e, ONX_FORMAT, "'%s': the .npy header is cut off", what);
	len = d[8] | (size_t)d[9] << 8;
	if (d[6] > 1)
		len |= (size_t)d[10] << 16 | (size_t)d[11] << 24;
	if (len > n - fixed)
		return onx_fail(e, ONX_FORMAT, "'%s': a header of %zu bytes in a file of %zu", what,
				len, n);
	t.p = (const char *)d + fixed;
	t.end = t.p + len;
	if (len > 2 && memchr(t.p, '[', len))
		return onx_fail(e, ONX_UNSUP, "'%s': records are not supported, wanted plain numbers",
				what);
	if (!read_dict(&t, h))
		return onx_fail(e, ONX_FORMAT, "'%s': the .npy header '%.60s' cannot be read", what,
				(const char *)d + fixed);
	h->at = fixed + len;
	return element_type(h, what, e);
}

static void swap_bytes(uint8_t *p, size_t count, size_t width)
{
	for (size_t i = 0; i < count; i++, p += width)
		for (size_t k = 0; k < width / 2; k++) {
			uint8_t b = p[k];

			p[k] = p[width - 1 - k];
			p[width - 1 - k] = b;
		}
}

/* Column-major src to row-major dst: an odometer over the index of dst. */
static void to_c_order(const struct onx_shape *s, const uint8_t *src, uint8_t *dst, size_t n,
		       size_t width)
{
	size_t stride[ONX_RANK], at = 0;
	int64_t idx[ONX_RANK] = { 0 };

	for (int d = 0; d < s->rank; d++)
		stride[d] = d == 0 ? 1 : stride[d - 1] * (size_t)s->dim[d - 1];
	for (size_t i = 0; i < n; i++) {
		memcpy(dst + i * width, src + at * width, width);
		for (int d = s->rank - 1; d >= 0; d--) {
			at += stride[d];
			if (++idx[d] < s->dim[d])
				break;
			at -= stride[d] * (size_t)s->dim[d];
			idx[d] = 0;
		}
	}
}

/* UTF-32 to UTF-8; returns the length.  Surrogates and what is beyond Unicode become '?'. */
static size_t utf8(uint32_t c, char *out)
{
	if ((c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		c = '?';
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* Fixed-width strings in a->data become an array of C strings. */
static int make_strings(struct onx_array *a, const struct header *h, struct onx_err *e)
{
	size_t size = (size_t)h->size;
	const char **v = onx_heap(a->n ? a->n : 1, sizeof(*v));
	char *text = onx_heap(a->n ? a->n : 1, size + 1), *q = text;
	const uint8_t *p = a->data;

	if (!v || !text) {
		onx_heap_free(v);
		onx_heap_free(text);
		return onx_nomem(e, (double)a->n * (double)(size + 9), "strings of an array");
	}
	for (size_t i = 0; i < a->n; i++, p += size) {
		v[i] = q;
		for (size_t k = 0; k < size;) {
			uint32_t c = p[k];

			if (h->kind == 'U')
				memcpy(&c, p + k, 4);
			k += h->kind == 'U' ? 4 : 1;
			if (!c)
				break;
			if (h->kind == 'U')
				q += utf8(c, q);
			else
				*q++ = (char)c;
		}
		*q++ = '\0';
	}
	onx_heap_free(a->own);
	a->own = v;
	a->text = text;
	a->data = v;
	a->width = sizeof(*v);
	return ONX_OK;
}

/* Puts elements that are not as we want them (order of bytes, order of dimensions, strings) into a
 * block of the array's own. */
static int settle(struct onx_array *a, const struct header *h, struct onx_err *e)
{
	bool complex = onx_dtype_class(a->type) == ONX_CLASS_CPLX, text = a->type == ONX_STRING;
	size_t unit = text ? 4 : complex ? a->width / 2 : a->width;
	bool swap = h->order == '>' && unit > 1 && !(text && h->kind == 'S');
	bool turn = h->fortran && a->shape.rank > 1;
	bool odd = (uintptr_t)a->data % (unit < 8 ? unit : 8) != 0;

	if (swap || turn || odd) {
		uint8_t *own = onx_heap(a->n ? a->n : 1, a->width);

		if (!own)
			return onx_nomem(e, (double)a->n * (double)a->width, "an array");
		if (turn)
			to_c_order(&a->shape, a->data, own, a->n, a->width);
		else if (a->n)
			memcpy(own, a->data, a->n * a->width);
		if (swap)
			swap_bytes(own, a->n * (a->width / unit), unit);
		a->own = own;
		a->data = own;
	}
	return text ? make_strings(a, h, e) : ONX_OK;
}

int onx_npy_parse(const void *data, size_t n, const char *what, struct onx_array *out,
		  struct onx_err *e)
{
	struct header h;
	char buf[ONX_SHAPE_TEXT];
	int rc;

	memset(out, 0, sizeof(*out));
	rc = read_header(data, n, what, &h, e);
	if (rc < 0)
		return rc;
	rc = onx_count(h.shape.rank, h.shape.dim, &out->n, e);
	if (rc < 0)
		return onx_while(e, rc, "reading '%s'", what);
	out->type = h.type;
	out->shape = h.shape;
	out->width = (size_t)h.size;
	/* n <= 2^48 and width <= 2^18 at most: a division keeps the product out of it. */
	if (out->n > (n - h.at) / out->width)
		return onx_fail(e, ONX_FORMAT, "'%s': %s elements of %zu bytes, but %zu bytes left in it",
				what, onx_shape_text(h.shape.rank, h.shape.dim, buf, sizeof(buf)),
				out->width, n - h.at);
	out->data = (const uint8_t *)data + h.at;
	rc = settle(out, &h, e);
	if (rc < 0)
		onx_array_release(out);
	return rc;
}

int onx_npy_read(const char *path, struct onx_array *out, struct onx_err *e)
{
	struct onx_bytes b = { 0 };
	int rc;

	memset(out, 0, sizeof(*out));
	rc = onx_read(path, SIZE_MAX, &b, e);
	if (rc < 0)
		return rc;
	rc = onx_npy_parse(b.data, b.len, path, out, e);
	if (rc < 0 || out->own)
		onx_bytes_release(&b);
	else
		out->map = b;
	return rc;
}

void onx_array_release(struct onx_array *a)
{
	onx_heap_free(a->own);
	onx_heap_free(a->text);
	onx_bytes_release(&a->map);
	memset(a, 0, sizeof(*a));
}
