/* base/io.c -- files, whole or not at all. */
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ------------------------------------------------------------------------------- */

static bool is_std(const char *path)
{
	return !path || strcmp(path, "-") == 0;
}

static int fail_errno(struct onx_err *e, const char *verb, const char *path)
{
	const int error = errno;

	return onx_fail(e, ONX_IO, "cannot %s '%s': %s", verb, path, strerror(error));
}

static int too_long(struct onx_err *e, const char *name, size_t limit)
{
	return onx_fail(e, ONX_FORMAT, "'%s' is longer than the %zu bytes that are read here", name, limit);
}

/* Until the end of fd; for pipes, and for files whose size is not known before. */
static int read_all(int fd, const char *name, size_t limit, struct onx_bytes *out, struct onx_err *e)
{
	size_t cap = 64 * 1024, len = 0;
	uint8_t *data = onx_heap(cap, 1);
	int rc = data ? ONX_OK : onx_nomem(e, (double)cap, name);

	while (rc == ONX_OK) {
		if (len == cap) {
			uint8_t *more = cap < SIZE_MAX / 4 ? onx_heap_grow(data, len, cap * 2) : NULL;
			if (!more) {
				rc = onx_nomem(e, 2.0 * (double)cap, name);
				break;
			}
			data = more;
			cap *= 2;
		}
		ssize_t n = read(fd, data + len, cap - len);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			rc = fail_errno(e, "read", name);
		len += n > 0 ? (size_t)n : 0;
		if (rc == ONX_OK && len > limit)
			rc = too_long(e, name, limit);
	}
	if (rc < 0)
		onx_heap_free(data);
	else
		*out = (struct onx_bytes){ data, len, false };
	return rc;
}

static int read_fd(int fd, const char *name, size_t limit, bool later, struct onx_bytes *out, struct onx_err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_errno(e, "read", name);
	if (S_ISDIR(st.st_mode))
		return onx_fail(e, ONX_IO, "cannot read '%s': it is a folder, a file is wanted", name);
	/* /proc has regular files of size 0; a shell may hand over a file that is read half. */
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || lseek(fd, 0, SEEK_CUR) != 0)
		return read_all(fd, name, limit, out, e);
	if ((uintmax_t)st.st_size > limit)
		return too_long(e, name, limit);
	/* Where all of it is read its pages come in one call. */
	void *p = mmap(NULL, (size_t)st.st_size, later ? PROT_READ | PROT_WRITE : PROT_READ,
		       MAP_PRIVATE | (later ? 0 : MAP_POPULATE), fd, 0);
	if (p == MAP_FAILED)
		return read_all(fd, name, limit, out, e);
	*out = (struct onx_bytes){ p, (size_t)st.st_size, true };
	return ONX_OK;
}

static int read_path(const char *path, size_t limit, bool later, struct onx_bytes *out, struct onx_err *e)
{
	*out = (struct onx_bytes){ 0 };
	if (is_std(path))
		return read_fd(STDIN_FILENO, "standard input", limit, later, out, e);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(e, "open", path);
	int rc = read_fd(fd, path, limit, later, out, e);
	close(fd);
	return rc;
}

int onx_read(const char *path, size_t limit, struct onx_bytes *out, struct onx_err *e)
{
	return read_path(path, limit, false, out, e);
}

int onx_map(const char *path, size_t limit, struct onx_bytes *out, struct onx_err *e)
{
	return read_path(path, limit, true, out, e);
}

void onx_bytes_release(struct onx_bytes *b)
{
	if (b->mapped)
		munmap((void *)(uintptr_t)b->data, b->len);
	else
		onx_heap_free((void *)(uintptr_t)b->data);
	*b = (struct onx_bytes){ 0 };
}

void onx_bytes_rest(const struct onx_bytes *b)
{
	if (b->mapped)
		(void)madvise((void *)(uintptr_t)b->data, b->len, MADV_DONTNEED);
}

/* ---- writing ------------------------------------------------------------------------------- */

static char *heap_text(const char *s, size_t extra)
{
	const size_t n = strlen(s);
	char *d = onx_heap(n + extra + 1, 1);

	if (d)
		memcpy(d, s, n);
	return d;
}

static const char *out_name(const struct onx_out *o)
{
	return o->path ? o->path : "standard output";
}

static int refuse_terminal(int fd, bool binary, const char *name, struct onx_err *e)
{
	if (!binary || !isatty(fd))
		return ONX_OK;
	return onx_fail(e, ONX_USAGE, "will not write binary data to a terminal (%s); name a file with -o "
			"or pipe it on", name);
}

/* An unnamed file in the target's folder that vanishes if we are killed, or, where the file system
 * has none, a named one. */
static int open_temporary(struct onx_out *o, struct onx_err *e)
{
	struct onx_arena a = { 0 };
	const char *dir = onx_dirname(&a, o->path);

	if (!dir)
		return onx_nomem(e, (double)strlen(o->path), "a file name");
	o->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
	onx_arena_release(&a);
	if (o->fd >= 0)
		return ONX_OK;
	const size_t n = strlen(o->path);
	o->tmp = heap_text(o->path, 64);
	if (!o->tmp)
		return onx_nomem(e, (double)n, "a file name");
	for (int i = 0; i < 100 && o->fd < 0; i++) {
		snprintf(o->tmp + n, 64, ".tmp-%ld-%d", (long)getpid(), i);
		o->fd = open(o->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (o->fd < 0 && errno != EEXIST)
			break;
	}
	if (o->fd >= 0)
		return ONX_OK;
	int rc = fail_errno(e, "write", o->path);
	onx_heap_free(o->tmp);          /* not ours: abandon must not remove it */
	o->tmp = NULL;
	return rc;
}

/* A pipe, a terminal, /dev/full: written as it stands. */
static int open_special(struct onx_out *o, bool binary, struct onx_err *e)
{
	o->pipe = true;
	o->fd = open(o->path, O_WRONLY | O_CLOEXEC);
	if (o->fd < 0)
		return fail_errno(e, "write", o->path);
	return refuse_terminal(o->fd, binary, o->path, e);
}

static int open_file(struct onx_out *o, bool binary, struct onx_err *e)
{
	struct stat st;
	const bool there = stat(o->path, &st) == 0;

	if (there && S_ISDIR(st.st_mode))
		return onx_fail(e, ONX_IO, "cannot write '%s': it is a folder, a file name is wanted", o->path);
	if (there && !S_ISREG(st.st_mode))
		return open_special(o, binary, e);
	if (there && access(o->path, W_OK) != 0)
		return fail_errno(e, "write", o->path);
	char *real = there ? realpath(o->path, NULL) : NULL;
	if (real) {                     /* a link stays a link: its target is replaced */
		char *copy = heap_text(real, 0);
		free(real);
		if (!copy)
			return onx_nomem(e, PATH_MAX, "a file name");
		onx_heap_free(o->path);
		o->path = copy;
	}
	int rc = open_temporary(o, e);
	if (rc == ONX_OK && there && fchmod(o->fd, st.st_mode & 07777) < 0)
		return fail_errno(e, "set the permissions of", o->path);
	return rc;
}

int onx_out_open(const char *path, bool binary, struct onx_out *o, struct onx_err *e)
{
	*o = (struct onx_out){ .fd = -1 };
	if (is_std(path) || strcmp(path, "/dev/stdout") == 0) {
		o->fd = STDOUT_FILENO;
		o->pipe = true;
		return refuse_terminal(o->fd, binary, "standard output", e);
	}
	o->path = heap_text(path, 0);
	int rc = o->path ? open_file(o, binary, e) : onx_nomem(e, (double)strlen(path), "a file name");
	if (rc < 0)
		onx_out_abandon(o);
	return rc;
}

int onx_out_write(struct onx_out *o, const void *p, size_t n, struct onx_err *e)
{
	const char *at = p;

	while (n > 0) {
		ssize_t done = write(o->fd, at, n < (1u << 30) ? n : 1u << 30);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return fail_errno(e, "write", out_name(o));
		at += done;
		n -= (size_t)done;
	}
	return ONX_OK;
}

/* Gives an unnamed file the name o->tmp, so that rename can put it over the target. */
static int give_name(struct onx_out *o, struct onx_err *e)
{
	const size_t n = strlen(o->path);
	char self[64];
	int rc = -1;

	o->tmp = heap_text(o->path, 64);
	if (!o->tmp)
		return onx_nomem(e, (double)n, "a file name");
	snprintf(self, sizeof self, "/proc/self/fd/%d", o->fd);
	for (int i = 0; i < 100 && rc < 0; i++) {
		snprintf(o->tmp + n, 64, ".tmp-%ld-%d", (long)getpid(), i);
		rc = linkat(AT_FDCWD, self, AT_FDCWD, o->tmp, AT_SYMLINK_FOLLOW);
		if (rc < 0 && errno != EEXIST)
			break;
	}
	if (rc == 0)
		return ONX_OK;
	int fault = fail_errno(e, "write", o->path);
	onx_heap_free(o->tmp);
	o->tmp = NULL;
	return fault;
}

int onx_out_commit(struct onx_out *o, struct onx_err *e)
{
	int rc = ONX_OK;

	if (!o->pipe && fsync(o->fd) < 0)
		rc = fail_errno(e, "write", out_name(o));
	if (rc == ONX_OK && !o->pipe && !o->tmp)
		rc = give_name(o, e);
	if (o->fd != STDOUT_FILENO) {
		const int fd = o->fd;
		o->fd = -1;
		if (close(fd) < 0 && rc == ONX_OK)
			rc = fail_errno(e, "finish", out_name(o));
	}
	if (rc == ONX_OK && !o->pipe && rename(o->tmp, o->path) < 0)
		rc = fail_errno(e, "write", o->path);
	if (rc == ONX_OK) {
		onx_heap_free(o->tmp);
		o->tmp = NULL;
	}
	onx_out_abandon(o);
	return rc;
}

void onx_out_abandon(struct onx_out *o)
{
	if (o->fd >= 0 && o->fd != STDOUT_FILENO)
		close(o->fd);
	if (o->tmp)
		unlink(o->tmp);
	onx_heap_free(o->tmp);
	onx_heap_free(o->path);
	*o = (struct onx_out){ .fd = -1 };
}

int onx_write_file(const char *path, bool binary, const void *p, size_t n, struct onx_err *e)
{
	struct onx_out o;
	int rc = onx_out_open(path, binary, &o, e);

	if (rc < 0)
		return rc;
	rc = onx_out_write(&o, p, n, e);
	if (rc == ONX_OK)
		return onx_out_commit(&o, e);
	onx_out_abandon(&o);
	return rc;
}

/* ---- names --------------------------------------------------------------------------------- */

const char *onx_dirname(struct onx_arena *a, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash)
		return onx_dup(a, ".");
	return slash == path ? onx_dup(a, "/") : onx_dupn(a, path, (size_t)(slash - path));
}

const char *onx_join(struct onx_arena *a, const char *dir, const char *name)
{
	const size_t n = strlen(dir);

	if (n == 0 || *name == '/')
		return onx_dup(a, name);
	return onx_text(a, "%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
}
