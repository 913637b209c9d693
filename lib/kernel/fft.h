/* kernel/fft.h -- the discrete Fourier transform of one line, any length.
 *
 * X[k] = sum over t of x[t] exp(sign 2 pi i t k / n): Cooley and Tukey's decomposition by fours and
 * the prime factors of n, decimation in time, in the self-sorting order of Stockham, so nothing is permuted.
 * Cost: n times the sum of the prime factors.  Complex numbers are pairs of double, in both
 * precisions: sums are long.  Nothing here allocates or fails. */
#ifndef ONX_FFT_H
#define ONX_FFT_H
#include <stddef.h>
#include "kernel/real.h"

#define onx_fft_circle ONX_R(onx_fft_circle)
#define onx_fft ONX_R(onx_fft)

/* circle[2 * i] + i circle[2 * i + 1] = exp(-2 pi i / n): what onx_fft reads. */
void onx_fft_circle(size_t n, double *circle);
/* In place on x [n][2], sign -1 or 1; spare [n][2]. */
void onx_fft(size_t n, const double *circle, int sign, double *x, double *spare);

#endif
