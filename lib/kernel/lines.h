/* kernel/lines.h -- reads a file of loops over vectors once for each width of registers.
 *
 *     #define ONX_LINES "kernel/last_dw_lines.inc"
 *     #include "kernel/lines.h"
 *
 * In that file `line` is a vector of LINE numbers that fills one register and may lie anywhere in memory,
 * ONX_L(name) is a name of its own for each width, and every function is compiled for that instruction set.  Behind the
 * include ONX_WIDTHS(name) is the initialiser of an array that onx_isa() indexes.
 * A vector wider than the registers would be right everywhere too, but GCC 12 keeps it in memory: written with 64 bytes
 * for all, depthwise convolutions take up to three times as long on a processor with AVX2. */
#ifndef ONX_LINES_H
#define ONX_LINES_H
#include "kernel/cpu.h"
#include "kernel/real.h"

#ifdef ONX_LINES
#define ONX_PASTE_AS(a, b) a##_##b
#define ONX_PASTE(a, b) ONX_PASTE_AS(a, b)
#define ONX_L(name) ONX_PASTE(name, ONX_LINE_BYTES)
#define line ONX_L(line)
#define LINE (ONX_LINE_BYTES / sizeof(real))

#define ONX_PRAGMA_AS(x) _Pragma(#x)
#define ONX_PRAGMA(x) ONX_PRAGMA_AS(x)
#ifdef __clang__
#define ONX_COMPILE_FOR(set) ONX_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define ONX_COMPILE_END ONX_PRAGMA(clang attribute pop)
#else
#define ONX_COMPILE_FOR(set) ONX_PRAGMA(GCC push_options) ONX_PRAGMA(GCC target(set))
#define ONX_COMPILE_END ONX_PRAGMA(GCC pop_options)
#endif

#define ONX_LINE_OF(bytes) \
typedef real line_##bytes __attribute__((vector_size(bytes), aligned(sizeof(real)), may_alias));
ONX_LINE_OF(16)
ONX_LINE_OF(32)
ONX_LINE_OF(64)

#define ONX_LINE_BYTES 16
#include ONX_LINES
#ifdef __x86_64__
#undef ONX_LINE_BYTES
#define ONX_LINE_BYTES 32
ONX_COMPILE_FOR(ONX_SET_AVX2)
#include ONX_LINES
ONX_COMPILE_END
#undef ONX_LINE_BYTES
#define ONX_LINE_BYTES 64
ONX_COMPILE_FOR(ONX_SET_AVX512)
#include ONX_LINES
ONX_COMPILE_END
#define ONX_WIDTHS(name) { name##_16, name##_32, name##_64 }
#else
#define ONX_WIDTHS(name) { name##_16 }
#endif
#undef line
#undef LINE
#endif

#endif
