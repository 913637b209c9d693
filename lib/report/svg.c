/* report/svg.c -- plots as inline SVG. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "report/html.h"
#include "report/svg.h"

enum { WIDTH = 760, HEIGHT = 300, LEFT = 64, RIGHT = 12, TOP = 30, BOTTOM = 40 };

/* Distinguishable also for most of those who do not see all colours (Okabe and Ito, 2008). */
static const char *const colors[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
				      "#000000", "#999900" };
enum { N_COLOR = sizeof colors / sizeof *colors };

struct frame { double x0, x1, y0, y1; };        /* the numbers at the edges */

static double px(const struct frame *f, double x)
{
	return LEFT + (x - f->x0) / (f->x1 - f->x0) * (WIDTH - LEFT - RIGHT);
}

static double py(const struct frame *f, double y)
{
	return HEIGHT - BOTTOM - (y - f->y0) / (f->y1 - f->y0) * (HEIGHT - TOP - BOTTOM);
}

static size_t step(const struct onx_line *l)
{
	return l->stride ? l->stride : 1;
}

static bool point(const struct onx_line *l, size_t i, double *x, double *y)
{
	*x = l->x[i * step(l)];
	*y = l->y[i * step(l)];
	return isfinite(*x) && isfinite(*y);
}

/* The numbers that are there; false if there are none. */
static bool extent(const struct onx_line *line, size_t n, struct frame *f)
{
	bool any = false;

	for (size_t k = 0; k < n; k++)
		for (size_t i = 0; i < line[k].n; i++) {
			double x, y;

			if (!point(&line[k], i, &x, &y))
				continue;
			f->x0 = any ? fmin(f->x0, x) : x;
			f->x1 = any ? fmax(f->x1, x) : x;
			f->y0 = any ? fmin(f->y0, y) : y;
			f->y1 = any ? fmax(f->y1, y) : y;
			any = true;
		}
	return any;
}

/* 1, 2 or 5 times a power of ten, so that about `want` of them span the range. */
static double nice(double range, int want)
{
	double raw = range / want, ten = pow(10, floor(log10(raw))), m = raw / ten;

	return ten * (m < 1.5 ? 1 : m < 3.5 ? 2 : m < 7.5 ? 5 : 10);
}

/* Edges on ticks for y; a range of nothing gets some room. */
static void settle(struct frame *f)
{
	double tick;

	if (f->x1 <= f->x0)
		f->x1 = f->x0 + 1;
	if (f->y1 - f->y0 < 1e-12 * fmax(1, fabs(f->y1))) {
		double room = fmax(fabs(f->y1) * 0.1, 1e-6);

		f->y0 -= room;
		f->y1 += room;
	}
	tick = nice(f->y1 - f->y0, 5);
	f->y0 = floor(f->y0 / tick) * tick;
	f->y1 = ceil(f->y1 / tick) * tick;
}

static void axes(struct onx_buf *out, const struct frame *f, const char *title, const char *x_name)
{
	double ty = nice(f->y1 - f->y0, 5), tx = fmax(nice(f->x1 - f->x0, 8), 1);

	onx_buf_fmt(out, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">\n<text x=\"%d\" y=\"16\" "
		    "style=\"font-weight:600\">", WIDTH, HEIGHT, WIDTH, LEFT);
	onx_html_text(out, title);
	onx_buf_str(out, "</text>\n");
	for (int i = 0; i <= 20 && f->y0 + i * ty <= f->y1 + ty * 0.01; i++) {
		double v = f->y0 + i * ty, y = py(f, v);

		if (fabs(v) < ty * 1e-9)
			v = 0;
		onx_buf_fmt(out, "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" "
			    "text-anchor=\"end\">%.5g</text>\n", LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4, v);
	}
	for (double v = ceil(f->x0 / tx) * tx; v <= f->x1 + tx * 0.01; v += tx)
		onx_buf_fmt(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.7g</text>\n", px(f, v),
			    HEIGHT - BOTTOM + 16, v);
	onx_buf_fmt(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT, HEIGHT - 6);
	onx_html_text(out, x_name);
	onx_buf_str(out, "</text>\n");
}

/* One line, at most two points a column of the picture: the lowest and the highest. */
static void draw(struct onx_buf *out, const struct frame *f, const struct onx_line *l)
{
	size_t each = l->n / (WIDTH / 2) + 1;
	bool down = false;

	onx_buf_fmt(out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" stroke-opacity=\"%s\" d=\"",
		    colors[(unsigned)l->color % N_COLOR], l->faint ? "1" : "2", l->faint ? ".35" : "1");
	for (size_t i = 0; i < l->n; i += each) {
		double lo = INFINITY, hi = -INFINITY, at = 0, x, y;

		for (size_t k = i; k < i + each && k < l->n; k++)
			if (point(l, k, &x, &y)) {
				lo = fmin(lo, y);
				hi = fmax(hi, y);
				at = x;
			}
		if (lo > hi) {
			down = false;
			continue;
		}
		onx_buf_fmt(out, "%c%.1f %.1f", down ? 'L' : 'M', px(f, at), py(f, lo));
		if (hi > lo)
			onx_buf_fmt(out, "L%.1f %.1f", px(f, at), py(f, hi));
		down = true;
	}
	onx_buf_str(out, "\"/>\n");
	for (size_t i = 0; l->dots && i < l->n && l->n <= 100; i++) {
		double x, y;

		if (point(l, i, &x, &y))
			onx_buf_fmt(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", px(f, x),
				    py(f, y), colors[(unsigned)l->color % N_COLOR]);
	}
}

void onx_svg_plot(struct onx_buf *out, const char *title, const char *x_name, const struct onx_line *line,
		  size_t n)
{
	struct frame f = { 0 };
	int at = WIDTH - RIGHT;

	if (!extent(line, n, &f)) {
		onx_buf_str(out, "<p class=\"note\">No numbers for: ");
		onx_html_text(out, title);
		onx_buf_str(out, ".</p>\n");
		return;
	}
	settle(&f);
	axes(out, &f, title, x_name);
	for (size_t k = 0; k < n; k++)
		draw(out, &f, &line[k]);
	for (size_t k = n; k-- > 0;) {
		if (!line[k].name)
			continue;
		onx_buf_fmt(out, "<text x=\"%d\" y=\"16\" text-anchor=\"end\" style=\"fill:%s\">", at,
			    colors[(unsigned)line[k].color % N_COLOR]);
		onx_html_text(out, line[k].name);
		onx_buf_str(out, "</text>\n");
		at -= (int)strlen(line[k].name) * 7 + 16;
	}
	onx_buf_str(out, "</svg>\n");
}

void onx_svg_matrix(struct onx_buf *out, const uint64_t *count, size_t n, const char *const *name)
{
	const int side = n <= 12 ? 44 : n <= 30 ? 24 : 8, left = 130, top = 24;
	const int w = left + (int)n * side + 8, h = top + (int)n * side + 8;

	onx_buf_fmt(out, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">\n<text x=\"%d\" y=\"14\">guessed "
		    "(columns) for each true class (rows)</text>\n", w, h, w, left);
	for (size_t i = 0; i < n; i++) {
		uint64_t sum = 0;

		for (size_t j = 0; j < n; j++)
			sum += count[i * n + j];
		if (side > 10) {
			onx_buf_fmt(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", left - 6,
				    top + ((double)i + .5) * side + 4);
			onx_html_text(out, name && name[i] ? name[i] : "?");
			onx_buf_str(out, "</text>");
		}
		for (size_t j = 0; j < n; j++) {
			uint64_t c = count[i * n + j];
			double part = sum ? (double)c / (double)sum : 0;

			onx_buf_fmt(out, "<rect x=\"%zu\" y=\"%zu\" width=\"%d\" height=\"%d\" fill=\"%s\" "
				    "fill-opacity=\"%.3f\" stroke=\"#eee\"><title>", left + j * (size_t)side,
				    top + i * (size_t)side, side, side, i == j ? "#0072b2" : "#d55e00", part);
			onx_html_text(out, name && name[i] ? name[i] : "?");
			onx_buf_str(out, " as ");
			onx_html_text(out, name && name[j] ? name[j] : "?");
			onx_buf_fmt(out, ": %llu</title></rect>", (unsigned long long)c);
			if (c && side > 30)
				onx_buf_fmt(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%llu</text>",
					    left + ((double)j + .5) * side, top + ((double)i + .5) * side + 4,
					    (unsigned long long)c);
		}
		onx_buf_str(out, "\n");
	}
	onx_buf_str(out, "</svg>\n");
}
