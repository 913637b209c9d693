/* data/csv_i.h -- a csv file as cells (data/csvcell.c), for data/csv.c. */
#ifndef ONX_CSV_I_H
#define ONX_CSV_I_H
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"

struct onx_cell {
	const char *text;               /* unquoted, blanks around it trimmed unless quoted */
	uint32_t line, column;          /* from 1; column in bytes                          */
};
struct onx_cells {
	size_t rows, cols;              /* rows without the header                          */
	const struct onx_cell *head;    /* cols; NULL without header                        */
	const struct onx_cell *cell;    /* rows x cols                                      */
};
/* RFC 4180: quoted fields with "" for a quote and line feeds inside, CRLF or LF, blank lines skipped,
 * a byte order mark ignored; separated by comma, semicolon or tab, whichever the first line has most
 * of.  A row of another length is a fault.  Text belongs to the arena. */
int onx_csv_cells(const char *path, const char *text, size_t n, bool header, struct onx_arena *a,
		  struct onx_cells *out, struct onx_err *e) ONX_MUST;

#endif
