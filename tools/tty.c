/* tools/tty.c -- one line on a terminal that is written over and over. */
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "tool.h"

bool onx_tty_shown(const struct onx_work *w)
{
	return !w->common.quiet && isatty(STDERR_FILENO);
}

/* Cut to the width of the terminal: a line that wraps cannot be written over. */
void onx_tty_line(struct onx_work *w, const char *line)
{
	struct winsize size = { 0 };
	int width = 80;

	if (!onx_tty_shown(w))
		return;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
		width = size.ws_col;
	fprintf(stderr, "\r%.*s\033[K%s", width - 1, line ? line : "", line ? "" : "\r");
	fflush(stderr);
}
