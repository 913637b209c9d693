/* tensor/dtype.h -- ONNX element types (TensorProto.DataType) and how we store them in memory.
 *
 * In a file an element type has its own width.  In memory, while a plan runs, the types that
 * arithmetic treats as real numbers are stored as `float` (FLOAT, FLOAT16, BFLOAT16, the floats
 * of 8 bits and less) or `double` (DOUBLE, and everything real in a plan made with `wide`); integers and bool
 * keep their width, 4-bit integers take a byte, strings are `const char *`. */
#ifndef ONX_DTYPE_H
#define ONX_DTYPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*        name             number  bits in a file  class    text          */
#define ONX_DTYPES(X)                                              \
	X(FLOAT,           1, 32, REAL, "float")                   \
	X(UINT8,           2,  8, UINT, "uint8")                   \
	X(INT8,            3,  8, INT,  "int8")                    \
	X(UINT16,          4, 16, UINT, "uint16")                  \
	X(INT16,           5, 16, INT,  "int16")                   \
	X(INT32,           6, 32, INT,  "int32")                   \
	X(INT64,           7, 64, INT,  "int64")                   \
	X(STRING,          8,  0, TEXT, "string")                  \
	X(BOOL,            9,  8, BOOL, "bool")                    \
	X(FLOAT16,        10, 16, REAL, "float16")                 \
	X(DOUBLE,         11, 64, REAL, "double")                  \
	X(UINT32,         12, 32, UINT, "uint32")                  \
	X(UINT64,         13, 64, UINT, "uint64")                  \
	X(COMPLEX64,      14, 64, CPLX, "complex64")               \
	X(COMPLEX128,     15, 128, CPLX, "complex128")             \
	X(BFLOAT16,       16, 16, REAL, "bfloat16")                \
	X(FLOAT8E4M3FN,   17,  8, REAL, "float8e4m3fn")            \
	X(FLOAT8E4M3FNUZ, 18,  8, REAL, "float8e4m3fnuz")          \
	X(FLOAT8E5M2,     19,  8, REAL, "float8e5m2")              \
	X(FLOAT8E5M2FNUZ, 20,  8, REAL, "float8e5m2fnuz")          \
	X(UINT4,          21,  4, UINT, "uint4")                   \
	X(INT4,           22,  4, INT,  "int4")                    \
	X(FLOAT4E2M1,     23,  4, REAL, "float4e2m1")              \
	X(FLOAT8E8M0,     24,  8, REAL, "float8e8m0")              \
	X(UINT2,          25,  2, UINT, "uint2")                   \
	X(INT2,           26,  2, INT,  "int2")                    \
	X(FLOAT6E2M3,     27,  6, REAL, "float6e2m3")              \
	X(FLOAT6E3M2,     28,  6, REAL, "float6e3m2")

#define X(name, number, bits, class, text) ONX_##name = number,
/* The last three are no element types and stand in no file: what a value can be besides a tensor
 * (tensor/seq.h). */
enum onx_dtype { ONX_UNDEFINED = 0, ONX_DTYPES(X) ONX_SEQUENCE = 64, ONX_MAP, ONX_NOTHING };
#undef X
enum onx_class { ONX_CLASS_NONE, ONX_CLASS_REAL, ONX_CLASS_INT, ONX_CLASS_UINT, ONX_CLASS_BOOL,
		 ONX_CLASS_TEXT, ONX_CLASS_CPLX };

bool onx_dtype_known(int number);
const char *onx_dtype_name(enum onx_dtype t);                   /* "undefined" for 0           */
enum onx_dtype onx_dtype_find(const char *name);                /* ONX_UNDEFINED if none       */
int onx_dtype_bits(enum onx_dtype t);                           /* in a file; 0 for strings    */
enum onx_class onx_dtype_class(enum onx_dtype t);
static inline bool onx_dtype_real(enum onx_dtype t) { return onx_dtype_class(t) == ONX_CLASS_REAL; }
/* Bytes n elements take as raw data: elements of less than a byte follow each other bit by bit. */
size_t onx_dtype_bytes(enum onx_dtype t, size_t n);
/* Bytes an element takes in memory while a plan runs (see above). */
size_t onx_dtype_store(enum onx_dtype t, bool wide);

/* Scalars of the short types <-> float.  To the type: round to nearest even; overflow as the
 * standard's Cast (f16, bf16: infinity; float8 *FN: see the ONNX float8 page, saturate).  FLOAT4E2M1
 * and FLOAT6* have neither NaN nor infinity: what they have no code for is ONX_NO_CODE without
 * `saturate`; with it the largest, and for NaN 6 or, in six bits, -0. */
enum { ONX_NO_CODE = 0xFF };
float onx_from_f16(uint16_t h);
uint16_t onx_to_f16(float f);
float onx_from_bf16(uint16_t h);
uint16_t onx_to_bf16(float f);
float onx_from_f8(uint8_t b, enum onx_dtype t);
uint8_t onx_to_f8(float f, enum onx_dtype t, bool saturate);
/* The value rounded to what t can hold (identity for FLOAT; DOUBLE is not for this). */
float onx_round_to(float f, enum onx_dtype t);

#endif
