/* graph/build_i.h -- a graph on its way from the file: what build.c and build_body.c share. */
#ifndef ONX_BUILD_I_H
#define ONX_BUILD_I_H
#include "graph/graph_i.h"

struct onx_build {
	struct onx_graph *g;
	const struct onx_file_graph *f;
	bool lax;
	struct onx_build *outer;            /* of a body: the graph around it              */
	struct onx_body *body;          /* of a body: what it reads from there         */
	uint32_t room;                  /* of body's table                             */
	bool called;                    /* of a body: inside a function, for every call of it */
};

/* ---- build.c ---- */

/* b->g from b->f, whole. */
int onx_build_all(struct onx_build *b, struct onx_err *e) ONX_MUST;
void onx_build_constant(struct onx_value *v, const struct onx_weight *w);

/* ---- build_body.c ---- */

/* Value `inner` of a body is value `outer` of the graph around it. */
int onx_build_capture(struct onx_build *b, uint32_t inner, uint32_t outer, struct onx_err *e) ONX_MUST;
/* The value of a name that is read: of this graph, else of the graphs around it; ONX_NONE: of none. */
int onx_build_resolve(struct onx_build *b, const char *name, uint32_t *id, struct onx_err *e) ONX_MUST;
/* A constant of a body becomes one of the main graph, under a name that nobody else has.  fixed: it has no tensor of
 * its own in the file, so training could not write it back. */
int onx_build_hoist(struct onx_build *b, const char *name, const struct onx_weight *w, bool fixed, uint32_t *id,
		    struct onx_err *e) ONX_MUST;
/* A body's initializers. */
int onx_build_body_inits(struct onx_build *b, struct onx_err *e) ONX_MUST;
/* The bodies of a node, and what they read from this graph. */
int onx_build_bodies(struct onx_build *b, uint32_t id, struct onx_err *e) ONX_MUST;

#endif
