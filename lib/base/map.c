/* base/map.c */
#include "base/map.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/arena.h"

static char *beside(const char *path)
{
	const size_t n = strlen(path) + 16;
	char *s = onx_heap(n, 1);
	if (s)
		snprintf(s, n, "%s.XXXXXX", path);
	return s;
}

/* A file that has no name any more, for what does not fit in memory. */
static int nameless(struct onx_map *m, struct onx_err *e)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	if (snprintf(path, sizeof path, "%s/onnx-adapt.XXXXXX", dir && *dir ? dir : "/tmp") >= (int)sizeof path)
		return onx_fail(e, ONX_IO, "the folder in TMPDIR has too long a name");
	m->fd = mkstemp(path);
	if (m->fd < 0)
		return onx_fail(e, ONX_IO, "cannot create '%s': %s", path, strerror(errno));
	unlink(path);
	return ONX_OK;
}

static int named(struct onx_map *m, const char *path, struct onx_err *e)
{
	m->tmp = beside(path);
	m->path = onx_heap(strlen(path) + 1, 1);
	if (!m->tmp || !m->path)
		return onx_nomem(e, 4096, path);
	memcpy(m->path, path, strlen(path));
	m->fd = mkstemp(m->tmp);
	return m->fd < 0 ? onx_fail(e, ONX_IO, "cannot write '%s': %s", path, strerror(errno)) : ONX_OK;
}

int onx_map_new(const char *path, size_t bytes, size_t memory, struct onx_map *m, struct onx_err *e)
{
	*m = (struct onx_map){ .bytes = bytes, .fd = -1 };
	if (!path && bytes <= memory) {
		m->data = onx_heap(bytes + 1, 1);
		return m->data ? ONX_OK : onx_nomem(e, (double)bytes, "kept results");
	}
	int rc = path ? named(m, path, e) : nameless(m, e);
	int failed = rc == ONX_OK ? posix_fallocate(m->fd, 0, (off_t)(bytes ? bytes : 1)) : 0;
	if (failed)
		rc = onx_fail(e, ONX_IO, "cannot reserve %.1f MB for kept results: %s", (double)bytes / 1e6,
			      strerror(failed));
	if (rc == ONX_OK) {
		m->data = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
		if (m->data == MAP_FAILED) {
			m->data = NULL;
			rc = onx_fail(e, ONX_IO, "cannot map kept results: %s", strerror(errno));
		}
	}
	if (rc < 0)
		onx_map_release(m);
	return rc;
}

int onx_map_commit(struct onx_map *m, struct onx_err *e)
{
	if (!m->tmp)
		return ONX_OK;
	if (msync(m->data, m->bytes, MS_SYNC) != 0 || rename(m->tmp, m->path) != 0)
		return onx_fail(e, ONX_IO, "cannot finish '%s': %s", m->path, strerror(errno));
	onx_heap_free(m->tmp);
	m->tmp = NULL;
	return ONX_OK;
}

int onx_map_open(const char *path, struct onx_map *m, struct onx_err *e)
{
	struct stat s;
	*m = (struct onx_map){ .fd = open(path, O_RDONLY | O_CLOEXEC) };
	if (m->fd < 0)
		return errno == ENOENT ? 0 : onx_fail(e, ONX_IO, "cannot read '%s': %s", path, strerror(errno));
	if (fstat(m->fd, &s) != 0 || !S_ISREG(s.st_mode) || s.st_size == 0) {
		onx_map_release(m);
		return 0;
	}
	m->bytes = (size_t)s.st_size;
	m->data = mmap(NULL, m->bytes, PROT_READ, MAP_PRIVATE, m->fd, 0);
	if (m->data == MAP_FAILED) {
		m->data = NULL;
		onx_map_release(m);
		return onx_fail(e, ONX_IO, "cannot map '%s': %s", path, strerror(errno));
	}
	return 1;
}

void onx_map_release(struct onx_map *m)
{
	if (m->fd >= 0) {
		if (m->data)
			munmap(m->data, m->bytes ? m->bytes : 1);
		close(m->fd);
	} else if (m->bytes || m->data) {
		onx_heap_free(m->data);
	}
	if (m->tmp)
		unlink(m->tmp);
	onx_heap_free(m->tmp);
	onx_heap_free(m->path);
	*m = (struct onx_map){ .fd = -1 };
}
