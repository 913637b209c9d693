/* graph/control_i.h -- what control.c and control_scan.c share; private to graph/. */
#ifndef ONX_CONTROL_I_H
#define ONX_CONTROL_I_H
#include "graph/control.h"

struct onx_slices { struct onx_fact *v; size_t n, room; };

int onx_slices_push(struct onx_arena *a, struct onx_slices *l, const struct onx_fact *t, struct onx_err *e) ONX_MUST;
/* All slices side by side along `axis`, a new one (-1: behind the last); with numbers where all have them.
 * declared: says type and shape where there is no slice. */
int onx_slices_join(const struct onx_control *c, const struct onx_slices *l, int axis,
		    const struct onx_value *declared, struct onx_fact *out, struct onx_err *e) ONX_MUST;

/* The facts of a body's outputs for these inputs; numbers are copied to the arena of c->s. */
int onx_body_infer(const struct onx_control *c, const struct onx_body *b, const struct onx_fact *in, size_t n_in,
		   struct onx_fact *out, struct onx_err *e) ONX_MUST;
/* n facts, all zero. */
int onx_control_room(const struct onx_control *c, size_t n, struct onx_fact **out, struct onx_err *e) ONX_MUST;
int onx_control_ports(const struct onx_body *b, size_t in, size_t out, struct onx_err *e) ONX_MUST;
int onx_control_decided(const struct onx_control *c, uint32_t body, size_t turns, struct onx_err *e) ONX_MUST;
void onx_control_out(const struct onx_control *c, size_t i, const struct onx_fact *t);
struct onx_fact onx_fact_of(const struct onx_view *v);

/* A condition; guess: what it is taken for where it is not known. */
int onx_control_truth(const struct onx_control *c, const struct onx_fact *t, bool guess, bool *is,
		      struct onx_err *e) ONX_MUST;

int onx_loop_infer(const struct onx_control *c, struct onx_err *e) ONX_MUST;    /* control_loop.c */
int onx_scan_infer(const struct onx_control *c, struct onx_err *e) ONX_MUST;    /* control_scan.c */

#endif
