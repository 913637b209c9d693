/* base/err.c -- writing down faults. */
#include "base/err.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names come out of untrusted files: a line feed or an escape sequence in one must neither break
 * the one-line rule nor reach a terminal. */
static void make_plain(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

__attribute__((format(printf, 1, 0)))
static size_t format_line(const char *fmt, va_list ap, char *line, size_t n)
{
	if (vsnprintf(line, n, fmt, ap) < 0)
		*line = 0;
	make_plain(line);
	return strlen(line);
}

int onx_fail(struct onx_err *e, int code, const char *fmt, ...)
{
	char line[sizeof e->text];      /* an argument may be e->text itself */
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	size_t n = format_line(fmt, ap, line, sizeof line);
	va_end(ap);
	memcpy(e->text, line, n + 1);
	e->code = code;
	return code;
}

int onx_while(struct onx_err *e, int rc, const char *fmt, ...)
{
	static const char joint[] = "; while ";
	char line[sizeof e->text];
	va_list ap;

	if (!e || rc >= 0)
		return rc;
	va_start(ap, fmt);
	size_t n = format_line(fmt, ap, line, sizeof line);
	va_end(ap);
	size_t have = strlen(e->text), room = sizeof e->text - have;
	if (sizeof joint + n <= room) {         /* a phrase goes in whole or not at all */
		memcpy(e->text + have, joint, sizeof joint - 1);
		memcpy(e->text + have + sizeof joint - 1, line, n + 1);
	}
	return rc;
}

int onx_nomem(struct onx_err *e, double bytes, const char *what)
{
	if (bytes < 1024 * 1024)
		return onx_fail(e, ONX_NOMEM, "out of memory: %s wants %.0f bytes", what, bytes);
	return onx_fail(e, ONX_NOMEM, "out of memory: %s wants %.1f MiB", what, bytes / (1024 * 1024));
}

static const struct { int code, status; const char *text; } codes[] = {
#define X(name, value, exit_status, meaning) { value, exit_status, meaning },
	ONX_CODES(X)
#undef X
};
enum { N_CODE = sizeof codes / sizeof *codes };

int onx_exit_status(int code)
{
	for (size_t i = 0; i < N_CODE; i++)
		if (codes[i].code == code)
			return codes[i].status;
	return code < 0 ? 70 : 0;       /* not one of ours: EX_SOFTWARE of sysexits.h */
}

const char *onx_code_text(int code)
{
	for (size_t i = 0; i < N_CODE; i++)
		if (codes[i].code == code)
			return codes[i].text;
	return "unknown";
}
