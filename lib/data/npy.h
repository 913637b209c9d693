/* data/npy.h -- NumPy's files: .npy (format 1.0 to 3.0) read and written, .npz read.
 *
 * An array keeps the element type and width of the file (float16 stays two bytes) in C order and
 * this machine's byte order; a .npy file that is so already is mapped, not copied.  Headers are
 * untrusted: length, dimensions and their product are checked before anything is read.
 * An array belongs to the caller's struct: zero-initialise, release.  data/zip.c is the only user
 * of libzip.  Format: numpy.lib.format (NEP 1). */
#ifndef ONX_NPY_H
#define ONX_NPY_H
#include "base/err.h"
#include "base/io.h"
#include "tensor/tensor.h"

struct onx_array {
	enum onx_dtype type;            /* ONX_STRING: data is const char *const [n] (numpy S and U) */
	struct onx_shape shape;
	size_t n, width;                /* elements; bytes of one in `data`                          */
	const void *data;
	void *own;                      /* heap block behind data, or NULL                           */
	void *text;                     /* heap block of the strings, or NULL                        */
	struct onx_bytes map;           /* mapped file behind data, or empty                         */
};

int onx_npy_read(const char *path, struct onx_array *out, struct onx_err *e) ONX_MUST;
/* From bytes that outlive the array (it may point into them); `what` names them in faults. */
int onx_npy_parse(const void *data, size_t n, const char *what, struct onx_array *out,
		  struct onx_err *e) ONX_MUST;
void onx_array_release(struct onx_array *a);

/* Elements [first, first + dst->n) into the memory form of dst (dst->type, ->width; tensor/dtype.h).
 * Numbers convert freely: reals and integers to real types; to integer and bool types a value that
 * is not exactly representable is an ONX_SHAPE fault naming it. */
int onx_array_load(const struct onx_array *a, size_t first, const struct onx_view *dst,
		   struct onx_err *e) ONX_MUST;
/* Element i as a number; strings are 0. */
double onx_array_real(const struct onx_array *a, size_t i);

/* Writes a view (memory form) as format 1.0, C order, in the type v->type has in a file; types that
 * NumPy does not know (bfloat16, 8-bit floats) are written as float32, 4-bit integers as 8-bit. */
int onx_npy_write(const char *path, const struct onx_view *v, struct onx_err *e) ONX_MUST;

/* .npz: a zip archive of .npy members, stored or deflated. */
struct onx_npz;
int onx_npz_open(const char *path, struct onx_npz **out, struct onx_err *e) ONX_MUST;
void onx_npz_free(struct onx_npz *z);           /* arrays that were read live on */
size_t onx_npz_count(const struct onx_npz *z);
const char *onx_npz_name(const struct onx_npz *z, size_t i);    /* without ".npy" */
/* By name; a name that is not there is an ONX_USAGE fault that gives the nearest. */
int onx_npz_read(struct onx_npz *z, const char *name, struct onx_array *out,
		 struct onx_err *e) ONX_MUST;

#endif
