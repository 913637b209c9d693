/* report/html.h -- a self-contained page: no script, no font, no picture from anywhere else. */
#ifndef ONX_HTML_H
#define ONX_HTML_H
#include "base/buf.h"

void onx_html_begin(struct onx_buf *out, const char *title);
void onx_html_end(struct onx_buf *out);
/* Text as content or inside an attribute: & < > " ' and control bytes made harmless. */
void onx_html_text(struct onx_buf *out, const char *s);

#endif
