/* slopes.h -- gradients of a whole net held to differences. */
#ifndef TEST_SLOPES_H
#define TEST_SLOPES_H
#include "unit/lib/net.h"
#include <math.h>

/* Central differences at up to 24 places of each weight, sign and size, through the wide plan. */
static inline void slopes_wide(struct net *n, uint32_t loss)
{
	const double h = 1e-5;
	struct run r;
	run_open(&r, n, &loss, 1, loss, true, 0);
	double *w = r.params->weight;
	double *found = onx_heap(r.params->n + 1, sizeof *found);
	memset(r.params->grad, 0xff, r.params->n * sizeof *found);
	run_forward(&r, n);
	onx_exec_backward(r.exec, false, 1);
	memcpy(found, r.params->grad, r.params->n * sizeof *found);
	for (uint32_t i = 0; i < r.params->n_value; i++) {
		const uint32_t v = r.params->value[i];
		const size_t count = n->g->value[v].init->n, stride = count / 24 + 1;
		for (size_t k = 0; n->weight[v] && k < count; k += stride) {
			const size_t at = r.params->at[v] + k;
			const double old = w[at];
			w[at] = old + h;
			run_forward(&r, n);
			const double up = run_real(&r, loss);
			w[at] = old - h;
			run_forward(&r, n);
			const double want = (up - run_real(&r, loss)) / (2 * h);
			w[at] = old;
			if (!(fabs(found[at] - want) <= 1e-6 * (1 + fabs(want))))
				fail_msg("'%s'[%zu]: slope %.9g, wanted %.9g", n->g->value[v].name, k,
					 found[at], want);
		}
	}
	onx_heap_free(found);
	run_close(&r);
}

/* The whole of it in float too: the loss agrees, the gradient is finite, twice the same. */
static inline void slopes_float(struct net *n, uint32_t loss)
{
	struct run a, b;
	run_open(&a, n, &loss, 1, loss, false, 0);
	run_open(&b, n, &loss, 1, loss, true, 0);
	run_forward(&a, n);
	run_forward(&b, n);
	assert_true(fabs(run_real(&a, loss) - run_real(&b, loss)) < 1e-3 * (1 + fabs(run_real(&b, loss))));
	memset(a.params->grad, 0xff, a.params->n * sizeof(float));
	onx_exec_backward(a.exec, false, 1);
	onx_exec_backward(b.exec, false, 1);
	for (uint32_t i = 0; i < a.params->n_value; i++) {
		const uint32_t v = a.params->value[i];
		for (size_t k = 0; n->weight[v] && k < n->g->value[v].init->n; k++) {
			const double x = ((float *)a.params->grad)[a.params->at[v] + k];
			const double y = ((double *)b.params->grad)[a.params->at[v] + k];
			assert_true(fabs(x - y) < 1e-3 * (1 + fabs(y)));
		}
	}
	run_close(&a);
	run_close(&b);
}

static inline void both(struct net *n, uint32_t loss)
{
	slopes_wide(n, loss);
	slopes_float(n, loss);
	net_free(n);
}

#endif
