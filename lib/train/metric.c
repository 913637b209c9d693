/* train/metric.c -- scores. */
#include "train/metric.h"
#include <math.h>

int onx_score_init(struct onx_score *s, struct onx_arena *a, uint32_t n_class, struct onx_err *e)
{
	*s = (struct onx_score){ .n_class = n_class };
	if (n_class > 0 && n_class <= 4096) {
		s->confusion = ONX_NEWS(a, uint64_t, (size_t)n_class * n_class);
		if (!s->confusion)
			return onx_nomem(e, 8.0 * n_class * n_class, "the confusion matrix");
	}
	return ONX_OK;
}

/* The class that a sample's outputs say: the largest; of one output, its sign (a binary logit). */
static uint32_t guess(const struct onx_view *out, size_t sample, size_t n_class)
{
	size_t best = 0;
	if (n_class == 1)
		return onx_view_real(out, sample) > 0;
	for (size_t c = 1; c < n_class; c++)
		if (onx_view_real(out, sample * n_class + c) > onx_view_real(out, sample * n_class + best))
			best = c;
	return (uint32_t)best;
}

static void add_classes(struct onx_score *s, const struct onx_view *out, const struct onx_view *y,
			int64_t ignore)
{
	const size_t n = y->n, per = n ? out->n / n : 0;
	for (size_t i = 0; i < n && per; i++) {
		const int64_t truth = onx_view_int(y, i);
		if (truth == ignore)
			continue;
		const uint32_t g = guess(out, i, per);
		s->n++;
		s->correct += truth == (int64_t)g;
		if (s->confusion && truth >= 0 && truth < s->n_class && g < s->n_class)
			s->confusion[(size_t)truth * s->n_class + g]++;
	}
}

void onx_score_add(struct onx_score *s, const struct onx_view *out, const struct onx_view *y, double loss,
		   double weight, int64_t ignore)
{
	if (weight > 0) {                       /* the mean of nothing is NaN */
		s->loss_sum += loss * weight;
		s->loss_weight += weight;
	}
	if (onx_dtype_class(y->type) == ONX_CLASS_INT) {
		add_classes(s, out, y, ignore);
		return;
	}
	const size_t n = y->rank ? (size_t)y->dim[0] : 1;
	for (size_t i = 0; i < y->n && i < out->n; i++) {
		const double t = onx_view_real(y, i), d = onx_view_real(out, i) - t;
		s->abs_sum += fabs(d);
		s->square_sum += d * d;
		s->y_sum += t;
		s->y2_sum += t * t;
	}
	s->n_target += y->n;
	s->n += n;
}

static double per(double sum, uint64_t n)
{
	return n ? sum / (double)n : 0;
}

double onx_score_loss(const struct onx_score *s)
{
	return s->loss_weight > 0 ? s->loss_sum / s->loss_weight : 0;
}

double onx_score_accuracy(const struct onx_score *s)
{
	return per((double)s->correct, s->n);
}

double onx_score_accuracy_se(const struct onx_score *s)
{
	const double p = onx_score_accuracy(s);
	return s->n ? sqrt(p * (1 - p) / (double)s->n) : 0;
}

double onx_score_mae(const struct onx_score *s)
{
	return per(s->abs_sum, s->n_target);
}

double onx_score_rmse(const struct onx_score *s)
{
	return sqrt(per(s->square_sum, s->n_target));
}

double onx_score_r2(const struct onx_score *s)
{
	const double mean = per(s->y_sum, s->n_target);
	const double spread = s->y2_sum - mean * s->y_sum;
	return spread > 0 ? 1 - s->square_sum / spread : 0;
}

void onx_score_class(const struct onx_score *s, uint32_t c, struct onx_class_score *out)
{
	*out = (struct onx_class_score){ 0 };
	if (!s->confusion || c >= s->n_class)
		return;
	for (uint32_t k = 0; k < s->n_class; k++) {
		out->support += s->confusion[(size_t)c * s->n_class + k];
		out->guessed += s->confusion[(size_t)k * s->n_class + c];
	}
	const double hit = (double)s->confusion[(size_t)c * s->n_class + c];
	out->precision = per(hit, out->guessed);
	out->recall = per(hit, out->support);
	if (out->precision + out->recall > 0)
		out->f1 = 2 * out->precision * out->recall / (out->precision + out->recall);
}
