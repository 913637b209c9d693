/* kernel/lanes.h -- sums in double with eight running lanes, so that they are not one chain of
 * additions; the order depends on the length only. */
#ifndef ONX_LANES_H
#define ONX_LANES_H
#include "kernel/cpu.h"
#include "kernel/real.h"

ONX_INLINE double onx_lane_total(const double *lane)
{
	return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

ONX_INLINE double onx_sum(const real *x, size_t n)
{
	double lane[8] = { 0 };
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t l = 0; l < 8; l++)
			lane[l] += x[i + l];
	for (; i < n; i++)
		lane[i % 8] += x[i];
	return onx_lane_total(lane);
}

/* Sum of (x - mean)^2. */
ONX_INLINE double onx_sum_square(const real *x, double mean, size_t n)
{
	double lane[8] = { 0 };
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t l = 0; l < 8; l++)
			lane[l] += (x[i + l] - mean) * (x[i + l] - mean);
	for (; i < n; i++)
		lane[i % 8] += (x[i] - mean) * (x[i] - mean);
	return onx_lane_total(lane);
}

/* Sum of a * (x - mean). */
ONX_INLINE double onx_sum_product(const real *a, const real *x, double mean, size_t n)
{
	double lane[8] = { 0 };
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t l = 0; l < 8; l++)
			lane[l] += a[i + l] * (x[i + l] - mean);
	for (; i < n; i++)
		lane[i % 8] += a[i] * (x[i] - mean);
	return onx_lane_total(lane);
}

#endif
