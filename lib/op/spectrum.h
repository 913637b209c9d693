/* op/spectrum.h -- what the operators on signals share. */
#ifndef ONX_SPECTRUM_H
#define ONX_SPECTRUM_H
#include <stdint.h>
#include "op/infer.h"

/* *v = the only number of input i, which is whole and known while planning; as it is where the input is absent. */
static inline int onx_signal_number(struct onx_infer *s, int i, int64_t *v, struct onx_err *e)
{
	const int64_t *list;
	size_t n;
	int rc;

	if (!onx_has_in(s, i))
		return ONX_OK;
	if ((rc = onx_in_ints(s, i, &list, &n, e)) < 0)
		return rc;
	if (n != 1)
		return onx_fail(e, ONX_SHAPE, "input %d has %zu elements, wanted 1", i, n);
	*v = list[0];
	return ONX_OK;
}

#endif
