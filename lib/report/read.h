/* report/read.h -- the event log of a training run (train/event.h) as series of numbers.
 * A struct onx_run belongs to the caller: zero-initialise, release.  Numbers that the log leaves out
 * or gives as null (NaN, Inf) are NaN. */
#ifndef ONX_READ_H
#define ONX_READ_H
#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/err.h"

struct onx_series { double *x, *y; size_t n, cap; };

struct onx_epoch {
	double epoch, loss, accuracy, val_loss, val_accuracy, seconds;
	bool best;
};
struct onx_run {
	struct onx_arena arena;
	const char *name;               /* of the file */
	double epochs, batch, lr, weights, peak_bytes;  /* from "start" */
	struct onx_series loss, rate;   /* by step */
	struct onx_epoch *epoch; size_t n_epoch, cap_epoch;
	bool started, ended, stopped, cut;      /* cut: the last line is not whole, the run was killed */
	double best_epoch, val_accuracy, seconds;       /* from "end" */
};

/* Faults begin file:line.  Events of unknown kinds and unknown keys are passed over. */
int onx_run_read(const char *path, struct onx_run *r, struct onx_err *e) ONX_MUST;
void onx_run_release(struct onx_run *r);

#endif
