/* base/parse.c -- text to numbers: the whole text, in the C locale, or nothing. */
#include "base/field.h"
#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* strtoll and strtod skip blanks in front; we do not. */
static bool starts(const char *s)
{
	return *s && !isspace((unsigned char)*s);
}

int onx_parse_int(const char *s, int64_t *out)
{
	char *end;

	if (!starts(s))
		return ONX_USAGE;
	errno = 0;
	long long v = strtoll(s, &end, 10);
	if (end == s || *end || errno)
		return ONX_USAGE;
	*out = v;
	return ONX_OK;
}

/* strtod of the C locale; *end as there. */
static int read_real(const char *s, double *out, char **end)
{
	locale_t c = starts(s) ? newlocale(LC_ALL_MASK, "C", (locale_t)0) : (locale_t)0;

	if (!c)
		return ONX_USAGE;
	errno = 0;
	double v = strtod_l(s, end, c);
	freelocale(c);
	/* Too small is rounded to the nearest number like any other; too large is refused. */
	if (*end == s || (errno == ERANGE && (v > 1 || v < -1)))
		return ONX_USAGE;
	*out = v;
	return ONX_OK;
}

int onx_parse_real(const char *s, double *out)
{
	char *end;
	double v;

	if (read_real(s, &v, &end) < 0 || *end)
		return ONX_USAGE;
	*out = v;
	return ONX_OK;
}

int onx_parse_size(const char *s, int64_t *bytes)
{
	static const char unit[] = "kmgt";
	double v, scale = 1;
	char *end;

	if (!isdigit((unsigned char)*s) || read_real(s, &v, &end) < 0)
		return ONX_USAGE;
	const char *u = *end ? strchr(unit, tolower((unsigned char)*end)) : NULL;
	if (u) {
		for (const char *p = unit; p <= u; p++)
			scale *= 1024;
		end++;
		if (strcasecmp(end, "ib") == 0)
			end += 2;
	}
	if (strcasecmp(end, "b") == 0)
		end++;
	v *= scale;
	if (*end || !(v < 0x1p62))
		return ONX_USAGE;
	*bytes = (int64_t)v;
	return ONX_OK;
}
