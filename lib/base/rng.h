/* base/rng.h -- random numbers as a function, not a state.
 * Philox4x32-10 (Salmon et al., SC'11): a number is a function of (seed, stream, a, b, i), so any
 * thread may draw any sample's numbers in any order and one seed gives one result. */
#ifndef ONX_RNG_H
#define ONX_RNG_H
#include <stddef.h>
#include <stdint.h>

enum onx_stream {               /* who draws; frozen numbers, they decide results */
	ONX_RNG_INIT = 1,       /* a = hash of the tensor's name                  */
	ONX_RNG_SHUFFLE = 2,    /* a = epoch                                      */
	ONX_RNG_AUGMENT = 3,    /* a = epoch, b = sample                          */
	ONX_RNG_NODE = 4,       /* a = step, b = node                             */
	ONX_RNG_SPLIT = 5,
	ONX_RNG_TEST = 6
};
/* seed: the key mixed from seed, stream and a; i: next block of four. */
struct onx_rng { uint64_t seed; uint32_t stream, i; uint64_t a, b; uint32_t out[4]; int left; };

/* The bare block function, for known-answer tests and for kernels that index by element. */
void onx_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

void onx_rng_init(struct onx_rng *r, uint64_t seed, enum onx_stream s, uint64_t a, uint64_t b);
uint32_t onx_rng_u32(struct onx_rng *r);
double onx_rng_unit(struct onx_rng *r);                  /* [0, 1), 32 bits          */
double onx_rng_range(struct onx_rng *r, double lo, double hi);
double onx_rng_normal(struct onx_rng *r);                /* mean 0, sd 1; Box-Muller */
uint32_t onx_rng_below(struct onx_rng *r, uint32_t n);   /* 0 .. n-1, unbiased       */
void onx_rng_skip(struct onx_rng *r, uint64_t n);        /* to the n-th u32 from the start of the stream */
void onx_rng_shuffle(struct onx_rng *r, uint32_t *v, size_t n);
uint64_t onx_hash(const void *p, size_t n, uint64_t seed);   /* xxHash64 (the only user of xxhash) */

#endif
