/* report/report.h -- training runs as one HTML page: tables, and plots as inline SVG. */
#ifndef ONX_REPORT_H
#define ONX_REPORT_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "report/read.h"

/* Several runs are drawn over each other.  mem holds what is computed on the way. */
int onx_report(const struct onx_run *run, size_t n, struct onx_arena *mem, struct onx_buf *out,
	       struct onx_err *e) ONX_MUST;

#endif
