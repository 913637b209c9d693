/* model/extsave.c -- data files on their way out.  See external.h for what goes where. */
#include "model/model_i.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- whose file is it ------------------------------------------------------------------------- */

struct asking { const char *location; bool found; };

static int see_location(void *ctx, Onnx__TensorProto *t, struct onx_err *e)
{
	struct asking *a = ctx;

	(void)e;
	if (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
		for (size_t i = 0; i < t->n_external_data; i++)
			if (!strcmp(onx_or_empty(t->external_data[i]->key), "location"))
				a->found |= !strcmp(onx_or_empty(t->external_data[i]->value),
						    a->location);
	return ONX_OK;
}

/* Whether the model that is at `path` now keeps numbers in `location`. */
static bool owned_by(const char *path, const char *location)
{
	struct asking a = { location, false };
	struct onx_unpacked u = { 0 };
	struct onx_bytes b = { 0 };
	struct onx_err e = { 0 };
	ProtobufCMessage *msg;

	if (onx_read(path, INT32_MAX, &b, &e) < 0)
		return false;
	if (onx_unpack(&u, &onnx__model_proto__descriptor, b.data, b.len, true, &msg, &e) == ONX_OK &&
	    onx_each_tensor(msg, see_location, &a, &e) < 0)
		a.found = false;
	onx_unpacked_release(&u);
	onx_bytes_release(&b);
	return a.found;
}

static bool same_bytes(int folder, const char *name, const struct onx_data *d)
{
	uint8_t buf[1 << 14];
	size_t at = 0;
	ssize_t n = 0;
	const int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return false;
	while ((n = read(fd, buf, sizeof buf)) > 0) {
		if ((size_t)n > d->size - at || memcmp(buf, d->base + at, (size_t)n) != 0)
			break;
		at += (size_t)n;
	}
	close(fd);
	return n == 0 && at == d->size;
}

enum verdict { WRITE, LEAVE, ELSEWHERE };

/* What to do about data file d under the name `location` beside `path`; `folder`, `name` is that
 * place. */
static int judge(const char *path, const char *location, const struct onx_data *d, int folder,
		 const char *name, enum verdict *v, struct onx_err *e)
{
	struct stat st;

	*v = WRITE;
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return ONX_OK;
		return onx_fail(e, ONX_IO, "cannot look at '%s': %s", location, strerror(errno));
	}
	if (!S_ISREG(st.st_mode) || st.st_nlink > 1)
		return onx_fail(e, ONX_IO,
				"will not write external data over '%s': it is a link or not a "
				"regular file",
				location);
	if (!d->dirty && st.st_dev == d->dev && st.st_ino == d->ino)
		*v = LEAVE;
	else if (owned_by(path, location))
		*v = WRITE;
	else
		*v = same_bytes(folder, name, d) ? LEAVE : ELSEWHERE;
	return ONX_OK;
}

/* --- temporary files -------------------------------------------------------------------------- */

static int write_all(int fd, const uint8_t *p, size_t n)
{
	const size_t most = (size_t)1 << 30;

	while (n) {
		const ssize_t k = write(fd, p, n < most ? n : most);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -1;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* Puts the bytes of d into a new file in folder; s takes the folder's descriptor. */
static int write_temp(struct onx_staging *s, int folder, const char *name, const struct onx_data *d,
		      struct onx_err *e)
{
	struct onx_staged *t = &s->v[s->n];
	int fd = -1;

	for (int k = 0; fd < 0 && k < 100; k++) {
		snprintf(t->tmp, sizeof t->tmp, ".onx-data-%ld-%zu-%d", (long)getpid(), s->n, k);
		fd = openat(folder, t->tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			    0666);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0) {
		const int why = errno;
		close(folder);
		return onx_fail(e, ONX_IO, "cannot make a file for external data '%s': %s", name,
				strerror(why));
	}
	t->dir = folder;
	memcpy(t->name, name, strlen(name) + 1);
	s->n++;
	const int bad = write_all(fd, d->base, d->size) < 0 ? errno : 0;
	if (close(fd) < 0 || bad)
		return onx_fail(e, ONX_IO, "cannot write external data '%s': %s", name,
				strerror(bad ? bad : errno));
	return ONX_OK;
}

int onx_external_commit(struct onx_staging *s, struct onx_err *e)
{
	int rc = ONX_OK;

	for (size_t i = 0; i < s->n && rc == ONX_OK; i++) {
		struct onx_staged *t = &s->v[i];
		if (renameat(t->dir, t->tmp, t->dir, t->name) < 0)
			rc = onx_fail(e, ONX_IO, "cannot put external data '%s' in its place: %s",
				      t->name, strerror(errno));
		else
			t->tmp[0] = 0;
	}
	onx_external_abandon(s);
	return rc;
}

void onx_external_abandon(struct onx_staging *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].tmp[0])
			unlinkat(s->v[i].dir, s->v[i].tmp, 0);
		close(s->v[i].dir);
	}
	onx_heap_free(s->v);
	*s = (struct onx_staging){ 0 };
}

/* --- the plan of a save ----------------------------------------------------------------------- */

static Onnx__StringStringEntryProto *entry_of(const Onnx__TensorProto *t, const char *key)
{
	for (size_t i = 0; i < t->n_external_data; i++)
		if (!strcmp(onx_or_empty(t->external_data[i]->key), key))
			return t->external_data[i];
	return NULL;
}

/* All tensors of data file i now say that they are in `location`. */
static int relocate(struct onx_model *m, size_t i, const char *location, struct onx_err *e)
{
	char *text = onx_dup(&m->arena, location);

	if (!text)
		return onx_nomem(e, 256, "a location");
	m->data[i].location = text;
	for (size_t k = 0; k < m->n_ext; k++)
		if (m->ext[k].file == i)
			entry_of(m->ext[k].proto, "location")->value = text;
	m->dirty = true;
	return ONX_OK;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* One try at data file i under `location`; *v says whether it is done. */
static int try_place(struct onx_model *m, size_t i, const char *path, const char *location, int dir,
		     struct onx_staging *s, enum verdict *v, struct onx_err *e)
{
	const struct onx_data *d = &m->data[i];
	char name[256];
	int folder;

	int rc = onx_external_folder(dir, location, true, &folder, name, e);
	if (rc < 0)
		return rc;
	if (!strcmp(location, base_name(path))) {
		close(folder);
		return onx_fail(e, ONX_IO, "the model and its external data would both be '%s'",
				location);
	}
	rc = judge(path, location, d, folder, name, v, e);
	if (rc == ONX_OK && *v == WRITE)
		return write_temp(s, folder, name, d, e);
	close(folder);
	return rc;
}

static int stage_one(struct onx_model *m, size_t i, const char *path, int dir,
		     struct onx_staging *s, struct onx_err *e)
{
	enum verdict v;
	char other[256];

	int rc = try_place(m, i, path, m->data[i].location, dir, s, &v, e);
	if (rc < 0 || v != ELSEWHERE)
		return rc;
	const int n = i == 0 ? snprintf(other, sizeof other, "%s.data", base_name(path))
			     : snprintf(other, sizeof other, "%s.%zu.data", base_name(path), i);
	if (n < 0 || (size_t)n >= sizeof other)
		return onx_fail(e, ONX_IO,
				"the name '%s' is too long to name its data file after it",
				base_name(path));
	rc = try_place(m, i, path, other, dir, s, &v, e);
	if (rc == ONX_OK && v == ELSEWHERE)
		return onx_fail(
			e, ONX_IO,
			"'%s' and '%s' are both there and belong to something else: no place "
			"for the external data",
			m->data[i].location, other);
	return rc < 0 ? rc : relocate(m, i, other, e);
}

int onx_external_stage(struct onx_model *m, const char *path, struct onx_staging *s,
		       struct onx_err *e)
{
	const char *folder = onx_dirname(&m->arena, path);
	int rc = ONX_OK;

	*s = (struct onx_staging){ .v = onx_heap(m->n_data ? m->n_data : 1, sizeof *s->v) };
	if (!folder || !s->v)
		return onx_nomem(e, sizeof *s->v, "the list of data files");
	const int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return onx_fail(e, ONX_IO, "cannot open folder '%s': %s", folder, strerror(errno));
	for (size_t i = 0; i < m->n_data && rc == ONX_OK; i++)
		rc = stage_one(m, i, path, dir, s, e);
	close(dir);
	return rc;
}

/* --- everything in one message ---------------------------------------------------------------- */

struct onx_was {
	protobuf_c_boolean has_raw, has_location;
	ProtobufCBinaryData raw;
	size_t n_external;
};

int onx_external_inline(struct onx_model *m, struct onx_was **was, struct onx_err *e)
{
	*was = onx_heap(m->n_ext ? m->n_ext : 1, sizeof **was);
	if (!*was)
		return onx_nomem(e, (double)m->n_ext * sizeof **was,
				 "the list of external tensors");
	for (size_t i = 0; i < m->n_ext; i++) {
		Onnx__TensorProto *t = m->ext[i].proto;
		uint8_t *base = m->data[m->ext[i].file].base;
		(*was)[i] = (struct onx_was){ t->has_raw_data, t->has_data_location, t->raw_data,
					      t->n_external_data };
		t->has_raw_data = 1;
		t->raw_data.data = base ? base + m->ext[i].at : NULL;
		t->raw_data.len = m->ext[i].bytes;
		t->has_data_location = 0;
		t->n_external_data = 0;
	}
	return ONX_OK;
}

void onx_external_restore(struct onx_model *m, struct onx_was *was)
{
	for (size_t i = 0; i < m->n_ext; i++) {
		Onnx__TensorProto *t = m->ext[i].proto;
		t->has_raw_data = was[i].has_raw;
		t->raw_data = was[i].raw;
		t->has_data_location = was[i].has_location;
		t->n_external_data = was[i].n_external;
	}
	onx_heap_free(was);
}
