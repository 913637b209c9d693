/* tools/steptimes.h -- where the time of a plan goes, as a table for people. */
#ifndef ONX_STEPTIMES_H
#define ONX_STEPTIMES_H
#include "base/buf.h"
#include "plan/plan.h"

/* seconds: by step, summed over `runs` runs.  Appends operators by time, then every step by time, each
 * with its share, GFLOP/s (two operations to a multiply-add) and the gigabytes a second of the tensors
 * that it reads and writes. */
int onx_step_times(const struct onx_plan *p, const double *seconds, double runs, struct onx_buf *out,
		   struct onx_err *e) ONX_MUST;

#endif
