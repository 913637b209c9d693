/* kernel/tile_i.h -- what the register tiles of tile.c and outer.c are written with; private to them. */
#ifndef ONX_TILE_I_H
#define ONX_TILE_I_H
#include "kernel/tile.h"

/* The second of each pair is for memory, where it need not be aligned. */
#define VECTOR(name, bytes)                                                                           \
typedef real name __attribute__((vector_size(bytes)));                                                \
typedef real name##_at __attribute__((vector_size(bytes), aligned(sizeof(real)), may_alias));
VECTOR(v16, 16)
VECTOR(v32, 32)
VECTOR(v64, 64)

/* Statements on all sums: v and h stand for one of them, r for its row, at for its column. */
#define ALL(statement_v, statement_h)                                                                 \
	ONX_UNROLL                                                                                    \
	for (int r = 0; r < rows; r++) {                                                              \
		ONX_UNROLL                                                                            \
		for (int j = 0; j < nv; j++)                                                          \
			statement_v;                                                                  \
		if (nh)                                                                               \
			statement_h;                                                                  \
	}

/* One function for each number of rows (thirds of n) and of vectors: name_PARTw. */
#define WIDTH(name, attributes, args, n, w, nv, nh)                                                   \
attributes static void name##_1##w(const args *t) { name(n / 3, nv, nh, t); }                         \
attributes static void name##_2##w(const args *t) { name(n / 3 * 2, nv, nh, t); }                     \
attributes static void name##_3##w(const args *t) { name(n, nv, nh, t); }
#define TWO_WIDTHS(name, attributes, args, n)                                                         \
WIDTH(name, attributes, args, n, a, 1, 0)                                                             \
WIDTH(name, attributes, args, n, b, 2, 0)
#define FOUR_WIDTHS(name, attributes, args, n)                                                        \
WIDTH(name, attributes, args, n, a, 0, 1)                                                             \
WIDTH(name, attributes, args, n, b, 1, 0)                                                             \
WIDTH(name, attributes, args, n, c, 1, 1)                                                             \
WIDTH(name, attributes, args, n, d, 2, 0)
#define TWO(name) { { name##_1a, name##_1b }, { name##_2a, name##_2b }, { name##_3a, name##_3b } }
#define OF_PART(part) part##a, part##b, part##c, part##d
#define FOUR(name) { { OF_PART(name##_1) }, { OF_PART(name##_2) }, { OF_PART(name##_3) } }

enum { BASE_ROWS = 6, HALF_ROWS = 6, WIDE_ROWS = 12 };

#ifdef __x86_64__
#define ONX_BY_HAND 1
#define AVX2 __attribute__((target(ONX_SET_AVX2)))
#define AVX512 __attribute__((target(ONX_SET_AVX512)))
#endif

#endif
