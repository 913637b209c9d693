/* tools/backend_test.h -- runs folders in the layout of the ONNX backend tests:
 *
 *     DIR/model.onnx  DIR/test_data_set_K/input_I.pb  DIR/test_data_set_K/output_I.pb
 *
 * A folder without a model.onnx stands for the folders in it, at any depth.  A test is called by the last
 * two parts of its path ("node/test_abs").  All inputs are bound as known values, so that shapes may
 * depend on them.  Outputs must have the expected type and shape; whole numbers, bools and strings must be
 * equal, real numbers within rtol 1e-3, atol 1e-7 (ONNX's own tolerance).
 *
 * A list (tests/onnx/manifest.txt) has the names of the tests that must pass, one a line, and for those
 * left out "# name: reason".  With it, a listed test that fails and an unlisted one that passes are both
 * failures, and an unlisted one that fails is skipped. */
#ifndef ONX_BACKEND_TEST_H
#define ONX_BACKEND_TEST_H
#include <stdio.h>
#include "base/err.h"
#include "base/pool.h"

/* list and pool may be NULL.  Prints a line for each failure and "N passed, N failed, N skipped" to `out`.
 * Returns ONX_NO if a test failed, another fault if the folders or the list cannot be read. */
int onx_backend_test(const char *const *dirs, size_t n, const char *list, struct onx_pool *pool, FILE *out,
		     struct onx_err *e) ONX_MUST;

#endif
