/* op/pool_attr.h -- attributes of pools, in whichever layout they run. */
#ifndef ONX_POOL_ATTR_H
#define ONX_POOL_ATTR_H
#include "op/window.h"

/* p: LpPool; column_major: MaxPool's second output counts columns first. */
struct onx_pool_attr {
	struct onx_win_attr win;
	bool ceil, count_pad;
	int64_t p, column_major;
};

#define ONX_POOL_WINDOW                                                                                       \
	ONX_WIN_FIELDS(struct onx_pool_attr), ONX_WIN_DILATIONS(struct onx_pool_attr),                        \
	{ "ceil_mode", F_BOOL, offsetof(struct onx_pool_attr, ceil), .def = "0",                              \
	  .help = "round output sizes up" }
#define ONX_POOL_MAX                                                                                          \
	ONX_POOL_WINDOW,                                                                                      \
	{ "storage_order", F_INT, offsetof(struct onx_pool_attr, column_major), .def = "0", .min = 0,         \
	  .max = 1, .help = "indices count rows (0) or columns (1) first" }
#define ONX_POOL_AVERAGE                                                                                      \
	ONX_POOL_WINDOW,                                                                                      \
	{ "count_include_pad", F_BOOL, offsetof(struct onx_pool_attr, count_pad), .def = "0",                 \
	  .help = "padding counts in the average" }

#endif
