/* report/svg.h -- plots as inline SVG. */
#ifndef ONX_SVG_H
#define ONX_SVG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

struct onx_line {
	const char *name;               /* for the legend; NULL: not in it                            */
	const double *x, *y;            /* n points; one that is not finite breaks the line           */
	size_t n, stride;               /* doubles from one point to the next; 0: 1                   */
	int color;                      /* any number: colours repeat                                 */
	bool faint, dots;
};

/* A line plot with axes and legend.  Long series are thinned to the width of the picture, keeping the
 * lowest and highest value of each column.  Nothing to draw gives a sentence instead. */
void onx_svg_plot(struct onx_buf *out, const char *title, const char *x_name, const struct onx_line *line,
		  size_t n);

/* A matrix n x n of counts, rows named: the darker, the more of its row. */
void onx_svg_matrix(struct onx_buf *out, const uint64_t *count, size_t n, const char *const *name);

#endif
