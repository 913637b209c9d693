/* .npz archives; the only user of libzip. */
#include <inttypes.h>
#include <string.h>
#include <zip.h>

#include "base/field.h"
#include "data/npy.h"

struct onx_npz {
	struct onx_arena arena;
	zip_t *zip;
	const char *path;
	const char **name;              /* without ".npy" */
	zip_uint64_t *entry;
	size_t n;
};

static int zip_fault(struct onx_err *e, int code, const char *path, int zip_code)
{
	zip_error_t z;
	int rc;

	zip_error_init_with_code(&z, zip_code);
	rc = onx_fail(e, code, "'%s': %s", path, zip_error_strerror(&z));
	zip_error_fini(&z);
	return rc;
}

static int list_members(struct onx_npz *z, struct onx_err *e)
{
	zip_int64_t n = zip_get_num_entries(z->zip, 0);

	if (n < 0 || n > 1 << 20)
		return onx_fail(e, ONX_FORMAT, "'%s': an archive of %" PRId64 " members", z->path,
				(int64_t)n);
	z->name = ONX_NEWS(&z->arena, const char *, (size_t)n + 1);
	z->entry = ONX_NEWS(&z->arena, zip_uint64_t, (size_t)n + 1);
	if (!z->name || !z->entry)
		return onx_nomem(e, (double)n * 16, "the members of an archive");
	for (zip_uint64_t i = 0; i < (zip_uint64_t)n; i++) {
		const char *s = zip_get_name(z->zip, i, ZIP_FL_ENC_GUESS);
		size_t len = s ? strlen(s) : 0;

		if (len < 5 || strcmp(s + len - 4, ".npy") != 0)
			continue;
		z->entry[z->n] = i;
		z->name[z->n] = onx_dupn(&z->arena, s, len - 4);
		if (!z->name[z->n])
			return onx_nomem(e, (double)len, "a name");
		z->n++;
	}
	if (!z->n)
		return onx_fail(e, ONX_FORMAT, "'%s': no .npy arrays in this archive", z->path);
	return ONX_OK;
}

int onx_npz_open(const char *path, struct onx_npz **out, struct onx_err *e)
{
	struct onx_npz *z = onx_heap(1, sizeof(*z));
	int code = 0, rc;

	*out = NULL;
	if (!z)
		return onx_nomem(e, sizeof(*z), "an archive");
	z->path = onx_dup(&z->arena, path);
	z->zip = zip_open(path, ZIP_RDONLY, &code);
	if (!z->path)
		rc = onx_nomem(e, (double)strlen(path), "a path");
	else if (!z->zip)
		rc = zip_fault(e, code == ZIP_ER_NOENT || code == ZIP_ER_OPEN || code == ZIP_ER_READ
			       ? ONX_IO : ONX_FORMAT, path, code);
	else
		rc = list_members(z, e);
	if (rc < 0) {
		onx_npz_free(z);
		return rc;
	}
	*out = z;
	return ONX_OK;
}

void onx_npz_free(struct onx_npz *z)
{
	if (!z)
		return;
	if (z->zip)
		zip_discard(z->zip);
	onx_arena_release(&z->arena);
	onx_heap_free(z);
}

size_t onx_npz_count(const struct onx_npz *z)
{
	return z->n;
}

const char *onx_npz_name(const struct onx_npz *z, size_t i)
{
	return z->name[i];
}

/* Reads the whole member; one byte more is asked for, because libzip compares the checksum when it
 * meets the end. */
static int read_member(struct onx_npz *z, size_t i, uint8_t *buf, size_t n, struct onx_err *e)
{
	zip_file_t *f = zip_fopen_index(z->zip, z->entry[i], 0);
	size_t got = 0;
	zip_int64_t r = 0;
	uint8_t extra;
	int rc = ONX_OK;

	if (!f)
		return onx_fail(e, ONX_FORMAT, "'%s', member '%s': %s", z->path, z->name[i],
				zip_strerror(z->zip));
	while (got < n && (r = zip_fread(f, buf + got, n - got)) > 0)
		got += (size_t)r;
	if (r >= 0)
		r = zip_fread(f, &extra, 1);
	if (r != 0 || got != n)
		rc = onx_fail(e, ONX_FORMAT, "'%s', member '%s': %s", z->path, z->name[i],
			      r < 0 ? zip_file_strerror(f) : "its size is not what the archive says");
	zip_fclose(f);
	return rc;
}

int onx_npz_read(struct onx_npz *z, const char *name, struct onx_array *out, struct onx_err *e)
{
	zip_stat_t st;
	uint8_t *buf;
	size_t i;
	int rc;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < z->n && strcmp(z->name[i], name) != 0; i++)
		;
	if (i == z->n) {
		const char *near = onx_nearest(z->name, z->n, name);

		return onx_fail(e, ONX_USAGE, "'%s' has no array '%s'%s%s%s", z->path, name,
				near ? ", did you mean '" : "", near ? near : "", near ? "'" : "");
	}
	if (zip_stat_index(z->zip, z->entry[i], 0, &st) < 0 || !(st.valid & ZIP_STAT_SIZE) ||
	    !(st.valid & ZIP_STAT_COMP_SIZE))
		return onx_fail(e, ONX_FORMAT, "'%s', member '%s': its size is not known", z->path,
				name);
	/* Deflate cannot grow data more than 1032 times: a greater claim is a lie. */
	if (st.size / 1032 > st.comp_size + 64 || st.size > SIZE_MAX / 2)
		return onx_fail(e, ONX_FORMAT, "'%s', member '%s': %" PRIu64 " bytes out of %" PRIu64,
				z->path, name, (uint64_t)st.size, (uint64_t)st.comp_size);
	buf = onx_heap(st.size ? (size_t)st.size : 1, 1);
	if (!buf)
		return onx_nomem(e, (double)st.size, name);
	rc = read_member(z, i, buf, (size_t)st.size, e);
	if (rc == ONX_OK)
		rc = onx_npy_parse(buf, (size_t)st.size, name, out, e);
	if (rc < 0)
		rc = onx_while(e, rc, "reading '%s'", z->path);
	if (rc < 0 || out->own)
		onx_heap_free(buf);
	else
		out->own = buf;
	return rc;
}
