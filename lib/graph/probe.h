/* graph/probe.h -- which dims follow the batch, found by inferring shapes at two batch sizes.
 * A dim that reads b1*k + c at batch b1 and b2*k + c at b2 is k * batch + c; the batch sizes are
 * chosen so that no constant dim can be taken for one. */
#ifndef ONX_PROBE_H
#define ONX_PROBE_H
#include "graph/graph.h"

struct onx_probe_dim { int64_t times, plus; };          /* times * batch + plus; times == 0: fixed */
struct onx_probe {
	bool known;                                     /* the value was reached */
	enum onx_dtype type;
	int rank;
	struct onx_probe_dim dim[ONX_RANK];
};

/* by value; lives in the arena.  `size`: as in onx_bind_inputs.  With `rebatch` a baked-in batch of 1 is
 * replaced too: success proves that shapes allow any batch.  guess: as in facts.h,
 * or those of numbers that are made up; then it is no proof. */
int onx_probe(const struct onx_graph *g, int64_t size, bool rebatch, bool guess, struct onx_arena *a,
	      struct onx_probe **out, struct onx_err *e) ONX_MUST;
/* "[batch,1000]", "[2*batch,7]". */
const char *onx_probe_text(const struct onx_probe *p, char *buf, size_t n);

#endif
