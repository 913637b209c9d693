/* kernel/window.h -- the geometry of a sliding window, shared by convolution and pooling.
 * Always three spatial dimensions; those that a 1-D or 2-D operator lacks come first with size 1.
 * Output position o and tap k meet input position o * stride + k * dil - pad, which may lie outside
 * [0, in): such a tap reads padding. */
#ifndef ONX_WINDOW_H
#define ONX_WINDOW_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct onx_window {
	size_t in[3], out[3], kern[3];
	int64_t stride[3], dil[3];
	int64_t pad[3], pad_end[3];     /* pad_end matters to averages that count padding only */
	size_t in_n, out_n, kern_n;     /* products of the three                               */
};

static inline int64_t onx_window_at(const struct onx_window *w, int d, size_t o, size_t k)
{
	return (int64_t)o * w->stride[d] + (int64_t)k * w->dil[d] - w->pad[d];
}

/* Where output position o (row-major) and tap k meet the input; false in the padding. */
static inline bool onx_window_meet(const struct onx_window *w, size_t o, size_t k, size_t *at)
{
	const size_t oi[3] = { o / w->out[2] / w->out[1], o / w->out[2] % w->out[1], o % w->out[2] };
	const size_t ki[3] = { k / w->kern[2] / w->kern[1], k / w->kern[2] % w->kern[1],
			       k % w->kern[2] };

	*at = 0;
	for (int d = 0; d < 3; d++) {
		const int64_t i = onx_window_at(w, d, oi[d], ki[d]);

		if (i < 0 || i >= (int64_t)w->in[d])
			return false;
		*at = *at * w->in[d] + (size_t)i;
	}
	return true;
}

/* Outputs [*lo, *hi) of dimension d whose tap k lies inside the input. */
static inline void onx_window_valid(const struct onx_window *w, int d, size_t k, size_t *lo, size_t *hi)
{
	const int64_t off = onx_window_at(w, d, 0, k), in = (int64_t)w->in[d], s = w->stride[d];
	const int64_t before = off >= 0 ? 0 : -off, left = in - off <= 0 ? 0 : in - off;
	const int64_t first = s == 1 ? before : (before + s - 1) / s;
	const int64_t end = s == 1 ? left : (left + s - 1) / s;
	const int64_t out = (int64_t)w->out[d];

	*hi = (size_t)(end < out ? end : out);
	*lo = (size_t)first < *hi ? (size_t)first : *hi;
}

/* The taps of output oi that lie inside the input: k from lo to hi - 1, input at first + k * dil. */
struct onx_reach { int64_t first[3], lo[3], hi[3]; };

static inline struct onx_reach onx_window_reach(const struct onx_window *w, const size_t *oi)
{
	struct onx_reach r;

	for (int d = 0; d < 3; d++) {
		const int64_t first = onx_window_at(w, d, oi[d], 0), in = (int64_t)w->in[d], s = w->dil[d];
		const int64_t k = (int64_t)w->kern[d], end = in > first ? (in - first - 1) / s + 1 : 0;

		r.first[d] = first;
		r.lo[d] = first < 0 ? (-first + s - 1) / s : 0;
		r.hi[d] = end < k ? end : k;
	}
	return r;
}

/* By how much an average divides: the taps inside the input, or with `count_pad` inside the padded one: with
 * rounding up a window may reach beyond its end. */
static inline double onx_reach_count(const struct onx_window *w, const struct onx_reach *r, _Bool count_pad)
{
	double n = 1;

	for (int d = 0; d < 3; d++) {
		const int64_t room = (int64_t)w->in[d] + w->pad_end[d] - r->first[d];
		const int64_t end = room > 0 ? (room - 1) / w->dil[d] + 1 : 0, k = (int64_t)w->kern[d];
		const int64_t inside = r->hi[d] > r->lo[d] ? r->hi[d] - r->lo[d] : 0;

		n *= (double)(count_pad ? (end < k ? end : k) : inside);
	}
	return n > 0 ? n : 1;
}

static inline void onx_window_close(struct onx_window *w)
{
	w->in_n = w->in[0] * w->in[1] * w->in[2];
	w->out_n = w->out[0] * w->out[1] * w->out[2];
	w->kern_n = w->kern[0] * w->kern[1] * w->kern[2];
}

#endif
