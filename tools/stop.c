/* tools/stop.c -- ^C and SIGTERM as a flag. */
#include <signal.h>
#include <string.h>
#include "tool.h"

/* The only mutable global of the tools: a signal handler can reach nothing else. */
static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

const volatile sig_atomic_t *onx_stop_catch(void)
{
	struct sigaction a;
	const int sigs[] = { SIGINT, SIGTERM };

	memset(&a, 0, sizeof a);
	a.sa_handler = on_signal;
	a.sa_flags = SA_RESETHAND;      /* the second one takes the default action */
	sigemptyset(&a.sa_mask);
	for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++) {
		struct sigaction old;

		/* a background job of a shell script ignores ^C, and goes on doing so */
		if (sigaction(sigs[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(sigs[i], &a, NULL);
	}
	return &stop;
}
