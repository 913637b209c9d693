/* kernel/cpu.h -- one source, several instruction sets.
 * ONX_CLONES in front of a function definition compiles it for x86-64-v4 (AVX-512), x86-64-v3 (AVX2)
 * and the baseline; the loader picks once per process.  So every thread runs the same instructions
 * and the bits do not depend on the number of threads.  Static helpers called from a clone must be
 * ONX_INLINE, or they stay baseline code.  Off under the sanitizers, which run before the loader's
 * resolvers can, where the compiler has no such attribute, and under clang, which gives the resolver of
 * a static function a global name, so that two files with a function of one name do not link. */
#ifndef ONX_CPU_H
#define ONX_CPU_H
#include <stddef.h>
#include <stdint.h>             /* tells which C library this is, before it is asked below */

#if defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define ONX_NO_CLONES 1
#endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || !defined __x86_64__ || \
	!defined __linux__ || !defined __GLIBC__ || defined __clang__
#define ONX_NO_CLONES 1
#endif

#ifdef ONX_NO_CLONES
#define ONX_CLONES
#else
#define ONX_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#define ONX_INLINE static inline __attribute__((always_inline))

/* In front of a loop of up to 16 rounds known at compile time: all of them in a row. */
#ifdef __clang__
#define ONX_UNROLL _Pragma("unroll")
#else
#define ONX_UNROLL _Pragma("GCC unroll 16")
#endif

/* In front of an element-wise loop whose output may be one of its inputs, but never overlaps it otherwise. */
#ifdef __clang__
#define ONX_ALIKE       /* clang checks for overlap itself, and warns where a loop with the pragma stays scalar */
#else
#define ONX_ALIKE _Pragma("GCC ivdep")
#endif

/* In the outer of two loops, so that they stay in this order: a sum over rows that GCC turns inside out, to hold each
 * column's sum in a register, walks memory in strides, at half the speed. */
#define ONX_IN_ORDER __asm__ volatile ("")

/* A vector that several products read: GCC would load it anew for each, as an operand in memory. */
#ifdef __x86_64__
#define ONX_IN_REGISTER(v) __asm__ ("" : "+x"(v))
#else
#define ONX_IN_REGISTER(v) ((void)0)
#endif

/* For kernels written by hand for one instruction set: what they are compiled for, and what this processor has. */
#define ONX_SET_AVX2 "avx2,fma"
#define ONX_SET_AVX512 "avx512f,avx512vl,avx512dq,fma"
enum onx_isa { ONX_ISA_BASE, ONX_ISA_AVX2, ONX_ISA_AVX512, ONX_ISAS };
static inline enum onx_isa onx_isa(void)
{
#if defined __x86_64__ && (defined __GNUC__ || defined __clang__)
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
	    __builtin_cpu_supports("avx512dq"))
		return ONX_ISA_AVX512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return ONX_ISA_AVX2;
#endif
	return ONX_ISA_BASE;
}

#endif
