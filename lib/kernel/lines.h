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
#define ONX_LINE_OF(bytes)                                                                                     \
typedef real line_##bytes __attribute__((vector_size(bytes), aligned(sizeof(real)), may_alias));

ONX_LINE_OF(16)
#define ONX_L(name) name##_16
#define line line_16
#define LINE (16 / sizeof(real))
#include ONX_LINES
#undef ONX_L
#undef line
#undef LINE

#ifdef __x86_64__
ONX_LINE_OF(32)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define ONX_L(name) name##_32
#define line line_32
#define LINE (32 / sizeof(real))
#include ONX_LINES
#undef ONX_L
#undef line
#undef LINE
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

ONX_LINE_OF(64)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,fma")
#endif
#define ONX_L(name) name##_64
#define line line_64
#define LINE (64 / sizeof(real))
#include ONX_LINES
#undef ONX_L
#undef line
#undef LINE
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#define ONX_WIDTHS(name) { name##_16, name##_32, name##_64 }
#else
#define ONX_WIDTHS(name) { name##_16 }
#endif
#endif

#endif
