/* op/flex.h -- the attributes of FlexAttention, which graph/flex.c writes out. */
#ifndef ONX_FLEX_H
#define ONX_FLEX_H
#include <stdint.h>

struct onx_flex {
	double scale;
	int64_t precision;
	const void *score_mod, *prob_mod;       /* struct onx_file_graph * (model/model.h) */
	uint64_t given;
};

#endif
