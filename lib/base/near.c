/* base/near.c -- "did you mean". */
#include "base/field.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { LONGEST = 48, FAR = 1000 };

static int least(int a, int b)
{
	return a < b ? a : b;
}

static bool same_letter(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Optimal string alignment distance (Damerau-Levenshtein without repeated edits), case ignored. */
static int distance(const char *a, const char *b)
{
	const size_t n = strlen(a), m = strlen(b);
	int row[3][LONGEST + 1];

	if (n > LONGEST || m > LONGEST)
		return FAR;
	for (size_t j = 0; j <= m; j++)
		row[0][j] = (int)j;
	for (size_t i = 1; i <= n; i++) {
		int *now = row[i % 3];
		const int *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
		now[0] = (int)i;
		for (size_t j = 1; j <= m; j++) {
			const int other = !same_letter(a[i - 1], b[j - 1]);
			now[j] = least(up[j - 1] + other, least(up[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
			    same_letter(a[i - 2], b[j - 1]))
				now[j] = least(now[j], up2[j - 2] + 1);
		}
	}
	return row[n % 3][m];
}

/* How far `name` is from a candidate, or FAR if nobody would call it near. */
static int far_from(const char *name, const char *candidate)
{
	const size_t n = strlen(name);
	const int d = distance(name, candidate);

	if (n >= 3 && strncasecmp(name, candidate, n) == 0)
		return least(d, 1);     /* a beginning of the name */
	return d <= (int)(n + 2) / 3 ? d : FAR;
}

const char *onx_nearest(const char *const *names, size_t n, const char *name)
{
	const char *best = NULL;
	int least_far = FAR;

	for (size_t i = 0; i < n; i++) {
		const int d = far_from(name, names[i]);
		if (d < least_far) {
			least_far = d;
			best = names[i];
		}
	}
	return best;
}

const char *onx_nearest_field(const struct onx_table *t, const char *name)
{
	const char *names[64];
	size_t n = 0;

	for (const struct onx_field *f = t->field; f->name && n < 64; f++)
		names[n++] = f->name;
	return onx_nearest(names, n, name);
}
