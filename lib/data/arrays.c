/* .npz and x.npy,y.npy: arrays that the model's inputs get as they are, or pictures in bytes. */
#include <string.h>

#include "data/source_i.h"

/* Bytes [N,H,W] or [N,H,W,C] for an input of real numbers with height and width are pictures. */
static bool are_pixels(const struct onx_array *a, const struct onx_data_want *w)
{
	const int64_t *d = a->shape.dim;

	if (a->type != ONX_UINT8 || w->rank != 4 || !onx_dtype_real(w->type))
		return false;
	if (a->shape.rank == 4 ? d[3] != 1 && d[3] != 3 : a->shape.rank != 3)
		return false;
	return d[1] > 0 && d[1] <= 16384 && d[2] > 0 && d[2] <= 16384;
}

/* A sample's shape against the input's, both without the batch. */
static bool fits(const struct onx_shape *s, const struct onx_data_want *w)
{
	if (s->rank != w->rank - 1)
		return false;
	for (int i = 0; i < s->rank; i++)
		if (w->dim[i + 1] >= 0 && s->dim[i] != w->dim[i + 1])
			return false;
	return true;
}

static int use_array(struct onx_source *s, const struct onx_array *a, const struct onx_data_want *w,
		     struct onx_part *p, struct onx_err *e)
{
	const int64_t *d = a->shape.dim;
	char got[ONX_SHAPE_TEXT], want[ONX_SHAPE_TEXT];

	p->name = onx_dup(&s->arena, w->name);
	if (!p->name)
		return onx_nomem(e, 64, "a name");
	p->kind = ONX_PART_ARRAY;
	if (a->shape.rank >= 1) {
		p->shape.rank = a->shape.rank - 1;
		memcpy(p->shape.dim, d + 1, (size_t)p->shape.rank * sizeof(*d));
		p->n = d[0] ? a->n / (size_t)d[0] : 0;
	}
	if (are_pixels(a, w)) {
		p->kind = ONX_PART_PIXELS;
		p->h = (int)d[1];
		p->w = (int)d[2];
		p->c = a->shape.rank == 4 ? (int)d[3] : 1;
	} else if (a->type == ONX_STRING) {
		return onx_fail(e, ONX_UNSUP, "'%s': text for input '%s' of %s, and no data source feeds text", s->spec,
				w->name, onx_dtype_name(w->type));
	} else if (a->shape.rank < 1 || !fits(&p->shape, w)) {
		return onx_fail(e, ONX_SHAPE, "'%s': %s %s for input '%s' of %s %s", s->spec,
				onx_dtype_name(a->type),
				onx_shape_text(a->shape.rank, d, got, sizeof(got)), w->name,
				onx_dtype_name(w->type),
				onx_shape_text(w->rank, w->dim, want, sizeof(want)));
	}
	if (s->n && d[0] != (int64_t)s->n)
		return onx_fail(e, ONX_SHAPE, "'%s': %lld samples for input '%s', but %zu for the one before",
				s->spec, (long long)d[0], w->name, s->n);
	return s->n ? ONX_OK : onx_source_rows(s, (size_t)d[0], e);
}

static int make_parts(struct onx_source *s, const struct onx_source_ask *ask, struct onx_part **part,
		      struct onx_err *e)
{
	struct onx_source_priv *p = s->priv;

	p->array = ONX_NEWS(&s->arena, struct onx_array, ask->n_want + 1);
	*part = ONX_NEWS(&s->arena, struct onx_part, ask->n_want + 1);
	if (!p->array || !*part)
		return onx_nomem(e, (double)ask->n_want * 256, "a data source");
	p->n_array = ask->n_want;
	s->part = *part;
	s->n_part = ask->n_want;
	return ONX_OK;
}

/* The member for an input: by its name, or the only one besides y. */
static const char *member_for(const struct onx_npz *z, const char *name, bool only)
{
	const char *other = NULL;
	size_t others = 0;

	for (size_t i = 0; i < onx_npz_count(z); i++) {
		if (strcmp(onx_npz_name(z, i), name) == 0)
			return name;
		if (strcmp(onx_npz_name(z, i), "y") != 0) {
			other = onx_npz_name(z, i);
			others++;
		}
	}
	return only && others == 1 ? other : name;
}

int onx_open_npz(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e)
{
	struct onx_source_priv *p = s->priv;
	struct onx_npz *z = NULL;
	struct onx_array y = { 0 };
	struct onx_part *part;
	int rc = make_parts(s, ask, &part, e);

	if (rc == ONX_OK)
		rc = onx_source_stamp(s, s->spec, e);
	if (rc == ONX_OK)
		rc = onx_npz_open(s->spec, &z, e);
	for (size_t i = 0; rc == ONX_OK && i < ask->n_want; i++) {
		const char *m = member_for(z, ask->want[i].name, ask->n_want == 1);

		rc = onx_npz_read(z, m, &p->array[i], e);
		if (rc == ONX_OK)
			rc = use_array(s, &p->array[i], &ask->want[i], &part[i], e);
	}
	if (rc == ONX_OK)
		rc = onx_npz_read(z, "y", &y, e);
	if (rc == ONX_OK)
		rc = onx_source_targets(s, ask, &y, e);
	onx_array_release(&y);
	onx_npz_free(z);
	return rc;
}

int onx_open_npy(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e)
{
	struct onx_source_priv *p = s->priv;
	struct onx_array y = { 0 };
	struct onx_part *part;
	const char *px, *py;
	int rc;

	if (!onx_two_paths(&s->arena, s->spec, &px, &py))
		return onx_fail(e, ONX_USAGE, "'%s': wanted two files, X.npy,Y.npy", s->spec);
	rc = onx_source_one_part(s, ask, &part, e);
	if (rc == ONX_OK)
		rc = make_parts(s, ask, &part, e);
	if (rc == ONX_OK)
		rc = onx_source_stamp(s, px, e);
	if (rc == ONX_OK)
		rc = onx_source_stamp(s, py, e);
	if (rc == ONX_OK)
		rc = onx_npy_read(px, &p->array[0], e);
	if (rc == ONX_OK)
		rc = use_array(s, &p->array[0], &ask->want[0], part, e);
	if (rc == ONX_OK)
		rc = onx_npy_read(py, &y, e);
	if (rc == ONX_OK)
		rc = onx_source_targets(s, ask, &y, e);
	onx_array_release(&y);
	return rc;
}
