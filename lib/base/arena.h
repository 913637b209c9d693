/* base/arena.h -- memory that dies together.
 *
 * Everything reached from a model, a graph, a recipe or a plan lives in that object's arena and is
 * freed by one call; no piece has a free of its own.  A pointer from an arena is good until
 * onx_arena_release() or an onx_arena_rewind() past it.  Under AddressSanitizer each piece is
 * followed by poisoned bytes, so an overrun inside a chunk is seen.
 *
 * Words that say who owns what, everywhere in lib/:
 *   x_init / x_release    the caller's struct      x_new / x_free   a heap object
 *   const T *             borrowed for the call    T **out          given to the caller
 *
 * malloc and free are called in base/ only. */
#ifndef ONX_ARENA_H
#define ONX_ARENA_H
#include <stddef.h>

struct onx_chunk;
struct onx_arena { struct onx_chunk *top; size_t live, peak; };     /* zero-initialise */
struct onx_mark  { struct onx_chunk *top; size_t used, live; };

/* count * size zeroed bytes, aligned to 64.  NULL if the product overflows or memory is short. */
void *onx_alloc(struct onx_arena *a, size_t count, size_t size);
char *onx_dup(struct onx_arena *a, const char *s);                   /* NULL in, NULL out */
char *onx_dupn(struct onx_arena *a, const char *s, size_t n);
__attribute__((format(printf, 2, 3)))
char *onx_text(struct onx_arena *a, const char *fmt, ...);           /* formatted         */
struct onx_mark onx_arena_mark(const struct onx_arena *a);
void onx_arena_rewind(struct onx_arena *a, struct onx_mark m);
void onx_arena_release(struct onx_arena *a);                         /* also resets to 0  */
#define ONX_NEW(a, T)     ((T *)onx_alloc((a), 1, sizeof(T)))
#define ONX_NEWS(a, T, n) ((T *)onx_alloc((a), (n), sizeof(T)))

/* Heap blocks with an owner of their own (plan buffers, growing tables): 64-byte aligned, zeroed. */
void *onx_heap(size_t count, size_t size);              /* NULL on overflow or shortage          */
void *onx_heap_bare(size_t bytes);                      /* not zeroed: for what is written at once */
void *onx_heap_grow(void *p, size_t old_bytes, size_t new_bytes);   /* p may move; NULL: p stays */
/* The pages within these bytes, of a heap block or of an arena, go back to the system; read again they are zeros. */
void onx_heap_rest(void *p, size_t bytes);
void onx_heap_free(void *p);

/* Makes the n-th allocation from now fail (0 = never); for the tests. */
void onx_alloc_fail_at(long n);

#endif
