/* report/html.c -- escaping and the frame of a page. */
#include "report/html.h"

static const char style[] =
	"body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222;"
	"background:#fff}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}"
	"table{border-collapse:collapse;margin:.5em 0}td,th{padding:.2em .7em;text-align:right;"
	"border-bottom:1px solid #ddd}th{font-weight:600}td:first-child,th:first-child{text-align:left}"
	"tr.best td{background:#e8f4e8}svg{max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;"
	"fill:#444}p.note{color:#666}";

void onx_html_text(struct onx_buf *out, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '&': onx_buf_str(out, "&amp;"); break;
		case '<': onx_buf_str(out, "&lt;"); break;
		case '>': onx_buf_str(out, "&gt;"); break;
		case '"': onx_buf_str(out, "&quot;"); break;
		case '\'': onx_buf_str(out, "&#39;"); break;
		default: onx_buf_add(out, (unsigned char)*s < ' ' ? " " : s, 1);
		}
}

void onx_html_begin(struct onx_buf *out, const char *title)
{
	onx_buf_str(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		    "<meta name=\"viewport\" content=\"width=device-width\"><title>");
	onx_html_text(out, title);
	onx_buf_fmt(out, "</title><style>%s</style></head>\n<body><h1>", style);
	onx_html_text(out, title);
	onx_buf_str(out, "</h1>\n");
}

void onx_html_end(struct onx_buf *out)
{
	onx_buf_str(out, "</body></html>\n");
}
