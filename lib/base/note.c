/* base/note.c -- one formatted line to whoever listens. */
#include "base/note.h"
#include <stdarg.h>
#include <stdio.h>

void onx_say(const struct onx_note *n, enum onx_level level, const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	if (!n || !n->say)
		return;
	va_start(ap, fmt);
	int len = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (len >= 0)
		n->say(n->ctx, level, line);
}
