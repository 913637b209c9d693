/* graph/consts.h -- the numbers of constants in memory form, loaded once and shared by all plans of a
 * graph.  Where the file's bytes already are the memory form (aligned float raw_data), nothing is
 * copied. */
#ifndef ONX_CONSTS_H
#define ONX_CONSTS_H
#include "graph/graph.h"

struct onx_consts { const struct onx_graph *g; struct onx_view **view[2]; uint32_t n; };    /* [wide] */

/* The graph must outlive it.  Values added to the graph later may be asked for too. */
void onx_consts_init(struct onx_consts *c, const struct onx_graph *g);
void onx_consts_release(struct onx_consts *c);
/* A value with .init; borrowed until release. */
int onx_consts_get(struct onx_consts *c, uint32_t value, bool wide, const struct onx_view **out,
		   struct onx_err *e) ONX_MUST;
/* Forgets a value whose numbers were changed in the model. */
void onx_consts_drop(struct onx_consts *c, uint32_t value);

#endif
