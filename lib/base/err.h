/* base/err.h -- faults as values.
 *
 * Every function that can fail returns ONX_OK (0) or a negative code and takes, as its last
 * parameter, a struct onx_err that belongs to the caller.  The text is written once, where the
 * fault is found, and says what was found, what was wanted and where; each layer on the way out
 * may add one "; while ..." phrase.  Lower case, no full stop, the subject in single quotes.
 * Nothing in lib/ prints or exits; our own bugs assert, other people's files never make us. */
#ifndef ONX_ERR_H
#define ONX_ERR_H

/*        name     value  exit status  meaning */
#define ONX_CODES(X)                                                       \
	X(OK,       0, 0, "done")                                          \
	X(NO,      -1, 1, "the answer is no: they differ, some failed")    \
	X(USAGE,   -2, 2, "the command line or the recipe is wrong")       \
	X(FORMAT,  -3, 3, "an input file is damaged")                      \
	X(UNSUP,   -4, 4, "valid, but not supported here")                 \
	X(SHAPE,   -5, 5, "shapes or types do not fit")                    \
	X(IO,      -6, 6, "the operating system refused")                  \
	X(NOMEM,   -7, 7, "out of memory, or over the memory budget")      \
	X(NUMERIC, -8, 8, "a loss or a weight became NaN or infinite")

#define X(name, value, status, text) ONX_##name = value,
enum onx_code { ONX_CODES(X) };
#undef X

struct onx_err {
	int code;
	char text[1024];
};

/* Records the fault and returns `code`, so that a caller writes `return onx_fail(...)`. */
__attribute__((format(printf, 3, 4), warn_unused_result))
int onx_fail(struct onx_err *e, int code, const char *fmt, ...);

/* Adds "; while ..." and returns rc unchanged. */
__attribute__((format(printf, 3, 4), warn_unused_result))
int onx_while(struct onx_err *e, int rc, const char *fmt, ...);

/* onx_fail(ONX_NOMEM) with the number of bytes that were wanted. */
__attribute__((warn_unused_result))
int onx_nomem(struct onx_err *e, double bytes, const char *what);

int onx_exit_status(int code);          /* negative code -> exit status of a tool */
const char *onx_code_text(int code);    /* the meaning, for --help                */

#define ONX_MUST __attribute__((warn_unused_result))

#endif
