/* tools/score.h -- scores for people, programs and pages. */
#ifndef ONX_SCORE_TEXT_H
#define ONX_SCORE_TEXT_H
#include "base/buf.h"
#include "train/metric.h"

/* label: class names, n_label of them (fewer than classes: the rest is numbered). */
struct onx_score_names { const char *const *label; size_t n_label; };

void onx_score_text(const struct onx_score *s, const struct onx_score_names *n, struct onx_buf *out);
int onx_score_json(const struct onx_score *s, const struct onx_score_names *n, struct onx_buf *out,
		   struct onx_err *e) ONX_MUST;
int onx_score_html(const struct onx_score *s, const struct onx_score_names *n, const char *title,
		   struct onx_buf *out, struct onx_err *e) ONX_MUST;

#endif
