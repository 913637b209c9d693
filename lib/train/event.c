/* train/event.c -- the event log. */
#include "train/event.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int onx_events_open(struct onx_events *v, const char *path, bool append, struct onx_err *e)
{
	v->fd = -1;
	if (!path)
		return ONX_OK;
	v->fd = strcmp(path, "-") == 0 ? dup(STDOUT_FILENO)
		: open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
	if (v->fd < 0)
		return onx_fail(e, ONX_IO, "cannot write '%s': %s", path, strerror(errno));
	return ONX_OK;
}

int onx_events_put(struct onx_events *v, struct onx_json *object, struct onx_err *e)
{
	struct onx_buf line = { 0 };
	int rc = v->fd < 0 ? ONX_OK : onx_json_print(object, false, &line, e);
	onx_json_free(object);
	if (v->fd < 0 || rc < 0)
		return rc;
	onx_buf_str(&line, "\n");
	for (size_t done = 0; rc == ONX_OK && done < line.len; ) {
		const ssize_t n = write(v->fd, line.data + done, line.len - done);
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			rc = onx_fail(e, ONX_IO, "cannot write the event log: %s", strerror(errno));
	}
	onx_buf_release(&line);
	return rc;
}

int onx_events_close(struct onx_events *v, struct onx_err *e)
{
	const int fd = v->fd;
	v->fd = -1;
	if (fd >= 0 && close(fd) != 0)
		return onx_fail(e, ONX_IO, "cannot finish the event log: %s", strerror(errno));
	return ONX_OK;
}
