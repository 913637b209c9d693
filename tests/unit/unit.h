/* unit.h -- what every unit test includes: cmocka in the order it wants, and checks of faults. */
#ifndef UNIT_H
#define UNIT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "base/err.h"

/* rc is ONX_OK, or the test fails with the fault's text. */
static inline void must(int rc, const struct onx_err *e)
{
	if (rc != ONX_OK)
		fail_msg("fault %d: %s", rc, e->text);
}

/* rc is the fault `code` and its text contains `part`. */
static inline void must_fail(int rc, int code, const struct onx_err *e, const char *part)
{
	if (rc != code || !strstr(e->text, part))
		fail_msg("wanted fault %d with '%s', found %d: %s", code, part, rc, e->text);
}

#define RUN(tests) cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL)

#endif
