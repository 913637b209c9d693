/* IDX files, the format of MNIST: two zero bytes, a type, the number of dimensions, dimensions as
 * 32-bit big-endian numbers, elements.  Bytes only: 0x08.  (yann.lecun.com/exdb/mnist) */
#include <string.h>

#include "base/io.h"
#include "base/gz.h"
#include "data/source_i.h"

struct idx {
	struct onx_shape shape;
	size_t n;
	const uint8_t *at;
	uint8_t *own;
	struct onx_bytes map;
};

static void idx_release(struct idx *x)
{
	onx_heap_free(x->own);
	onx_bytes_release(&x->map);
}

static int idx_parse(struct idx *x, const uint8_t *d, size_t n, const char *path, struct onx_err *e)
{
	size_t head;
	int rc;

	if (n < 4 || d[0] || d[1])
		return onx_fail(e, ONX_FORMAT, "'%s' is not an IDX file", path);
	if (d[2] != 0x08 || d[3] < 1 || d[3] > 4)
		return onx_fail(e, ONX_UNSUP, "'%s': IDX of type 0x%02x with %d dimensions, wanted bytes "
				"(0x08) with 1 to 4", path, d[2], d[3]);
	x->shape.rank = d[3];
	head = 4 + 4 * (size_t)d[3];
	if (n < head)
		return onx_fail(e, ONX_FORMAT, "'%s': the IDX header is cut off", path);
	for (int i = 0; i < x->shape.rank; i++) {
		const uint8_t *p = d + 4 + 4 * i;

		x->shape.dim[i] = (int64_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
	}
	rc = onx_count(x->shape.rank, x->shape.dim, &x->n, e);
	if (rc < 0)
		return onx_while(e, rc, "reading '%s'", path);
	if (n - head != x->n)
		return onx_fail(e, ONX_FORMAT, "'%s': %zu bytes after the header, wanted %zu", path,
				n - head, x->n);
	x->at = d + head;
	return ONX_OK;
}

static int idx_read(struct idx *x, const char *path, struct onx_err *e)
{
	size_t n;
	int rc = onx_read(path, SIZE_MAX, &x->map, e);

	if (rc < 0)
		return rc;
	if (x->map.len < 2 || x->map.data[0] != 0x1f || x->map.data[1] != 0x8b)
		return idx_parse(x, x->map.data, x->map.len, path, e);
	rc = onx_gunzip(x->map.data, x->map.len, path, &x->own, &n, e);
	onx_bytes_release(&x->map);
	return rc < 0 ? rc : idx_parse(x, x->own, n, path, e);
}

static int use_images(struct onx_source *s, struct idx *x, const char *path, struct onx_part *part,
		      struct onx_err *e)
{
	struct onx_source_priv *p = s->priv;
	const int64_t *d = x->shape.dim;
	int rank = x->shape.rank;
	char buf[ONX_SHAPE_TEXT];

	if (rank < 3 || d[1] < 1 || d[1] > 16384 || d[2] < 1 || d[2] > 16384 ||
	    (rank == 4 && d[3] != 1 && d[3] != 3))
		return onx_fail(e, ONX_SHAPE, "'%s': pictures of shape %s, wanted [N,H,W] or [N,H,W,C] with "
				"1 or 3 channels", path, onx_shape_text(rank, d, buf, sizeof(buf)));
	part->kind = ONX_PART_PIXELS;
	part->h = (int)d[1];
	part->w = (int)d[2];
	part->c = rank == 4 ? (int)d[3] : 1;
	part->n = (size_t)part->h * (size_t)part->w * (size_t)part->c;
	part->shape = (struct onx_shape){ 3, { part->h, part->w, part->c } };
	p->pixels = x->at;
	p->own = x->own;
	p->map = x->map;
	x->own = NULL;
	memset(&x->map, 0, sizeof(x->map));
	return onx_source_rows(s, (size_t)d[0], e);
}

int onx_open_idx(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e)
{
	struct idx x = { 0 }, y = { 0 };
	struct onx_array label = { .type = ONX_UINT8, .width = 1 };
	const char *px, *py;
	struct onx_part *part;
	int rc;

	if (!onx_two_paths(&s->arena, s->spec, &px, &py))
		return onx_fail(e, ONX_USAGE, "'%s': wanted two files, IMAGES,LABELS", s->spec);
	rc = onx_source_one_part(s, ask, &part, e);
	if (rc == ONX_OK)
		rc = onx_source_stamp(s, px, e);
	if (rc == ONX_OK)
		rc = onx_source_stamp(s, py, e);
	if (rc == ONX_OK)
		rc = idx_read(&x, px, e);
	if (rc == ONX_OK)
		rc = idx_read(&y, py, e);
	if (rc == ONX_OK)
		rc = use_images(s, &x, px, part, e);
	if (rc == ONX_OK) {
		label.shape = y.shape;
		label.n = y.n;
		label.data = y.at;
		rc = onx_source_targets(s, ask, &label, e);
	}
	idx_release(&x);
	idx_release(&y);
	return rc;
}
