/* op/picture.c -- ImageDecoder: a picture file in a tensor of bytes to pixels [height][width][channels].  How large
 * they are stands in the bytes, so these are known while planning, and so is the picture. */
#include <string.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "picture/image.h"
#include "tensor/seq.h"

struct decoder { int format; };
enum { RGB, BGR, GREY };
static const char *const formats[] = { "RGB", "BGR", "Grayscale", NULL };
static const struct onx_field decoder_field[] = {
	{ "pixel_format", F_ENUM, offsetof(struct decoder, format), .def = "RGB", .choices = formats,
	  .help = "channels and their order" },
	{ .name = NULL }
};
static const struct onx_table decoder_attr = { "ImageDecoder", sizeof(struct decoder), decoder_field, .check = NULL };

static int give(struct onx_infer *s, const struct onx_image *m, bool back, struct onx_err *e)
{
	const int64_t dim[3] = { m->h, m->w, m->c };
	struct onx_view *y = onx_tensor_new(s->mem, ONX_UINT8, 3, dim, 1);

	if (!y)
		return onx_nomem(e, (double)m->h * m->w * m->c, "a picture");
	if (y->n)
		memcpy(y->v, m->px, y->n);
	for (size_t i = 0; back && i + 2 < y->n; i += 3) {
		uint8_t *px = (uint8_t *)y->v + i, red = px[0];
		px[0] = px[2];
		px[2] = red;
	}
	return onx_give(s, 0, y, e);
}

/* What cannot be read as a picture is an empty one, as the specification has it; formats that are known and not decoded
 * here, and pictures that are too large, are faults.  Pixels stay as they are stored. */
static int decoder_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const int format = ((const struct decoder *)attr)->format;
	const struct onx_decode how = { .channels = format == GREY ? 1 : 3, .lying = true };
	struct onx_image m = { .c = how.channels };
	const struct onx_view *x;
	int rc = onx_want_type(s, 0, ONX_UINT8, e);

	if (rc < 0 || (rc = onx_want_rank(s, 0, 1, 1, e)) < 0 || (rc = onx_in_known(s, 0, &x, e)) < 0)
		return rc;
	rc = onx_image_decode(x->v, x->n, "encoded_stream", &how, &m, e);
	if (rc == ONX_FORMAT) {
		m = (struct onx_image){ .c = how.channels };
		rc = ONX_OK;
	}
	if (rc == ONX_OK)
		rc = give(s, &m, format == BGR, e);
	onx_image_release(&m);
	return rc;
}

const struct onx_op ONX_R(onx_ops_picture)[] = {
	{ .domain = "", .type = "ImageDecoder", .since = 20, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_NEVER }, .n_grad = 1, .flags = ONX_OP_RULE, .attr = &decoder_attr, .infer = decoder_infer },
	{ .type = NULL }
};
