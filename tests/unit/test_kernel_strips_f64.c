/* The same checks on the double build of the kernels. */
#define ONX_F64 1
#include "test_kernel_strips.c"
