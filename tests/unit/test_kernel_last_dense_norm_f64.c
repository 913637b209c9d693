/* The same in double. */
#define ONX_F64
#include "test_kernel_last_dense_norm.c"
