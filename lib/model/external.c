/* model/external.c -- opening data files.  See external.h for the rules. */
#include "model/model_i.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct entry {                          /* external_data of one tensor, read and checked */
	const char *location;
	uint64_t offset, length;
	bool has_length;
};

struct opening {
	struct onx_model *m;
	int dir;                        /* the model's folder; -1: there is none */
	size_t cap_data, cap_ext;
};

static int parse_count(const char *s, uint64_t *out)
{
	uint64_t v = 0;

	if (!*s)
		return -1;
	for (; *s; s++) {
		const uint64_t digit = (uint64_t)(unsigned char)*s - '0';
		if (digit > 9 || v > (INT64_MAX - digit) / 10)
			return -1;
		v = v * 10 + digit;
	}
	*out = v;
	return 0;
}

static int read_entry(const Onnx__TensorProto *t, struct entry *x, struct onx_err *e)
{
	static const char *const keys[] = { "location", "offset", "length", "checksum",
					    "basepath" };
	enum { N_KEYS = sizeof keys / sizeof *keys };
	unsigned seen = 0;
	char who[160];

	*x = (struct entry){ 0 };
	for (size_t i = 0; i < t->n_external_data; i++) {
		const char *key = onx_or_empty(t->external_data[i]->key);
		const char *value = onx_or_empty(t->external_data[i]->value);
		unsigned k = 0;
		while (k < N_KEYS && strcmp(key, keys[k]))
			k++;
		if (k == N_KEYS || (seen & 1u << k))
			return onx_fail(e, ONX_FORMAT, "external data of %s: %s key '%s'",
					onx_weight_name(t, who, sizeof who),
					k == N_KEYS ? "unknown" : "repeated", key);
		seen |= 1u << k;
		if (k == 0)
			x->location = value;
		else if ((k == 1 && parse_count(value, &x->offset) < 0) ||
			 (k == 2 && parse_count(value, &x->length) < 0))
			return onx_fail(e, ONX_FORMAT,
					"external data of %s: %s '%s' is not a number of bytes",
					onx_weight_name(t, who, sizeof who), key, value);
		x->has_length |= k == 2;
	}
	if (!x->location || !*x->location)
		return onx_fail(e, ONX_FORMAT, "external data of %s: no location",
				onx_weight_name(t, who, sizeof who));
	return ONX_OK;
}

/* --- paths ------------------------------------------------------------------------------------ */

/* Next step of a path into name[256]: 1, 0 at the end, -1 if it is not allowed. */
static int next_step(const char **p, char name[256])
{
	for (;;) {
		while (**p == '/')
			++*p;
		const size_t n = strcspn(*p, "/");
		if (n == 0)
			return 0;
		if (n > 255)
			return -1;
		memcpy(name, *p, n);
		name[n] = 0;
		*p += n;
		if (!strcmp(name, ".."))
			return -1;
		if (strcmp(name, ".") != 0)
			return 1;
	}
}

/* Whether two locations mean one path ("w.bin", "./w.bin"). */
static bool same_location(const char *a, const char *b)
{
	char x[256], y[256];

	for (;;) {
		const int i = next_step(&a, x), k = next_step(&b, y);
		if (i != 1 || k != 1)
			return i == 0 && k == 0;
		if (strcmp(x, y) != 0)
			return false;
	}
}

int onx_external_folder(int dir, const char *location, bool make, int *fd, char name[256],
			struct onx_err *e)
{
	char step[256];
	const char *p = location;
	int at, step_rc = *p == '/' ? -1 : next_step(&p, name);

	if (step_rc <= 0)
		return onx_fail(e, ONX_FORMAT,
				"external data in '%s': only files inside the model's folder are "
				"allowed",
				location);
	at = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	while (at >= 0 && (step_rc = next_step(&p, step)) == 1) {
		if (make && mkdirat(at, name, 0777) < 0 && errno != EEXIST)
			break;
		const int below = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		const int why = errno;
		close(at);
		at = below;
		errno = why;
		if (at >= 0)
			memcpy(name, step, sizeof step);
	}
	if (at >= 0 && step_rc == 0) {
		*fd = at;
		return ONX_OK;
	}
	const int why = errno;
	if (at >= 0)
		close(at);
	if (step_rc < 0)
		return onx_fail(e, ONX_FORMAT,
				"external data in '%s': only files inside the model's folder are "
				"allowed",
				location);
	if (why == ENOTDIR || why == ELOOP)
		return onx_fail(e, ONX_FORMAT,
				"external data in '%s': '%s' is a link or not a folder", location,
				name);
	return onx_fail(e, ONX_IO, "external data in '%s': cannot open folder '%s': %s", location,
			name, strerror(why));
}

static int open_file(int dir, const char *location, int *fd, struct stat *st, struct onx_err *e)
{
	char name[256];
	int folder;

	int rc = onx_external_folder(dir, location, false, &folder, name, e);
	if (rc < 0)
		return rc;
	*fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	const int why = errno;
	close(folder);
	if (*fd < 0 && why == ELOOP)
		return onx_fail(e, ONX_FORMAT,
				"external data in '%s': symbolic links are not followed", location);
	if (*fd < 0 || fstat(*fd, st) < 0)
		return onx_fail(e, ONX_IO, "cannot open external data '%s': %s", location,
				strerror(*fd < 0 ? why : errno));
	if (!S_ISREG(st->st_mode))
		return onx_fail(e, ONX_FORMAT, "external data in '%s': not a regular file",
				location);
	if (st->st_nlink > 1)
		return onx_fail(e, ONX_FORMAT,
				"external data in '%s': the file has %lu names (hard links are not "
				"allowed)",
				location, (unsigned long)st->st_nlink);
	return ONX_OK;
}

/* --- files ------------------------------------------------------------------------------------ */

/* Room for one more element in a table that lives in an arena: doubled, the old one is left. */
static void *room(struct onx_arena *a, void *v, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return v;
	const size_t more = *cap ? *cap * 2 : 8;
	void *w = onx_alloc(a, more, size);
	if (!w)
		return NULL;
	if (n)
		memcpy(w, v, n * size);
	*cap = more;
	return w;
}

static int map_file(struct opening *o, const char *location, struct onx_err *e)
{
	struct onx_model *m = o->m;
	struct stat st;
	int fd = -1;

	if (o->dir < 0)
		return onx_fail(e, ONX_FORMAT,
				"external data in '%s', but the model came without a folder",
				location);
	struct onx_data *v = room(&m->arena, m->data, m->n_data, &o->cap_data, sizeof *v);
	if (!v)
		return onx_nomem(e, sizeof *v, "the list of data files");
	m->data = v;
	int rc = open_file(o->dir, location, &fd, &st, e);
	if (rc == ONX_OK) {
		struct onx_data d = { .location = location, .size = (size_t)st.st_size,
				      .dev = st.st_dev, .ino = st.st_ino };
		if (d.size)
			d.base = mmap(NULL, d.size, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_NORESERVE, fd, 0);
		if (d.base == MAP_FAILED)
			rc = onx_fail(e, ONX_IO, "cannot map external data '%s': %s", location,
				      strerror(errno));
		else
			m->data[m->n_data++] = d;
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

static int find_file(struct opening *o, const char *location, size_t *index, struct onx_err *e)
{
	for (size_t i = 0; i < o->m->n_data; i++)
		if (same_location(o->m->data[i].location, location)) {
			*index = i;
			return ONX_OK;
		}
	*index = o->m->n_data;
	return map_file(o, location, e);
}

/* Where in its file the numbers of t are. */
static int place(const Onnx__TensorProto *t, const struct entry *x, size_t size,
		 struct onx_ext *out, struct onx_err *e)
{
	size_t n, bytes;
	char who[160];

	int rc = onx_weight_extent(t, &n, &bytes, e);
	if (rc < 0)
		return rc;
	onx_weight_name(t, who, sizeof who);
	if (t->data_type == ONX_STRING)
		return onx_fail(e, ONX_FORMAT, "%s: strings cannot be external", who);
	if (bytes == SIZE_MAX)          /* a type from the future: its length is its own affair */
		bytes = x->has_length ? x->length : x->offset <= size ? size - x->offset : 0;
	else if (x->has_length && x->length != bytes)
		return onx_fail(e, ONX_FORMAT, "%s: %llu bytes in '%s', its dims want %zu", who,
				(unsigned long long)x->length, x->location, bytes);
	if (x->offset > size || bytes > size - x->offset)
		return onx_fail(e, ONX_FORMAT, "%s: bytes %llu to %llu of '%s', which has %zu", who,
				(unsigned long long)x->offset,
				(unsigned long long)x->offset + bytes, x->location, size);
	out->at = (size_t)x->offset;
	out->bytes = bytes;
	return ONX_OK;
}

static int see_external(void *ctx, Onnx__TensorProto *t, struct onx_err *e)
{
	struct opening *o = ctx;
	struct onx_model *m = o->m;
	struct onx_ext ext = { .proto = t };
	struct entry x;

	if (!t->has_data_location ||
	    t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
		return ONX_OK;
	int rc = read_entry(t, &x, e);
	if (rc == ONX_OK)
		rc = find_file(o, x.location, &ext.file, e);
	if (rc == ONX_OK)
		rc = place(t, &x, m->data[ext.file].size, &ext, e);
	if (rc < 0)
		return rc;
	struct onx_ext *v = room(&m->arena, m->ext, m->n_ext, &o->cap_ext, sizeof *v);
	if (!v)
		return onx_nomem(e, sizeof *v, "the list of external tensors");
	m->ext = v;
	m->ext[m->n_ext++] = ext;
	return ONX_OK;
}

static int by_proto(const void *a, const void *b)
{
	const uintptr_t x = (uintptr_t)((const struct onx_ext *)a)->proto;
	const uintptr_t y = (uintptr_t)((const struct onx_ext *)b)->proto;
	return (x > y) - (x < y);
}

int onx_external_open(struct onx_model *m, struct onx_err *e)
{
	struct opening o = { .m = m, .dir = -1 };

	if (m->dir)
		o.dir = open(*m->dir ? m->dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = onx_each_tensor(&m->proto->base, see_external, &o, e);
	if (o.dir >= 0)
		close(o.dir);
	if (rc == ONX_OK && m->n_ext)
		qsort(m->ext, m->n_ext, sizeof *m->ext, by_proto);
	return rc;
}

void onx_external_close(struct onx_model *m)
{
	for (size_t i = 0; i < m->n_data; i++)
		if (m->data[i].base)
			munmap(m->data[i].base, m->data[i].size);
	m->n_data = 0;
}

const struct onx_ext *onx_external_find(const struct onx_model *m, const void *proto)
{
	const struct onx_ext key = { .proto = (void *)(uintptr_t)proto };
	return m->n_ext ? bsearch(&key, m->ext, m->n_ext, sizeof *m->ext, by_proto) : NULL;
}
