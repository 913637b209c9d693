/* model/write.c -- a model on its way out: the bytes it came from while nobody edited it, else its
 * messages packed again. */
#include "model/model_i.h"
#include <string.h>

static int write_message(struct onx_model *m, struct onx_out *o, struct onx_err *e)
{
	if (!m->dirty)
		return onx_out_write(o, m->source, m->n_source, e);
	return onx_pack_out(&m->proto->base, o, e);
}

/* Model and data files: all written under other names first, then put in place, the model last. */
static int write_beside(struct onx_model *m, const char *path, struct onx_out *o, struct onx_err *e)
{
	struct onx_staging s;

	int rc = onx_external_stage(m, path, &s, e);
	if (rc == ONX_OK)
		rc = write_message(m, o, e);    /* after staging, which may rename data files */
	if (rc == ONX_OK)
		rc = onx_external_commit(&s, e);
	else
		onx_external_abandon(&s);
	return rc;
}

static int write_whole(struct onx_model *m, struct onx_out *o, struct onx_err *e)
{
	struct onx_was *was;

	int rc = onx_external_inline(m, &was, e);
	if (rc < 0)
		return rc;
	rc = onx_pack_out(&m->proto->base, o, e);
	onx_external_restore(m, was);
	return rc;
}

int onx_model_write(struct onx_model *m, const char *path, struct onx_err *e)
{
	struct onx_out o;

	int rc = onx_out_open(path, true, &o, e);
	if (rc < 0)
		return rc;
	if (!m->n_ext)
		rc = write_message(m, &o, e);
	else if (o.pipe)
		rc = write_whole(m, &o, e);
	else
		rc = write_beside(m, path, &o, e);
	if (rc == ONX_OK)
		rc = onx_out_commit(&o, e);
	else
		onx_out_abandon(&o);
	if (!path || !strcmp(path, "-"))
		return onx_while(e, rc, "writing standard output");
	return onx_while(e, rc, "writing '%s'", path);
}

int onx_model_bytes(struct onx_model *m, struct onx_buf *out, struct onx_err *e)
{
	struct onx_was *was;

	if (!m->n_ext && !m->dirty) {
		onx_buf_add(out, m->source, m->n_source);
		return out->lost ? onx_nomem(e, (double)m->n_source, "the packed model") : ONX_OK;
	}
	int rc = onx_external_inline(m, &was, e);
	if (rc < 0)
		return rc;
	rc = onx_pack_buf(&m->proto->base, out, e);
	onx_external_restore(m, was);
	return rc;
}
