/* data/preset_i.h -- rows of presets, for data/preset.c (options), data/presettext.c (the mark) and
 * data/fit.c (pixels). */
#ifndef ONX_PRESET_I_H
#define ONX_PRESET_I_H
#include "data/preset.h"

struct onx_preset_row {
	const char *name;
	enum onx_preset_kind kind;
	bool bgr;
	double scale, mean[3], std[3];  /* channels in the order of the input */
	enum onx_fit fit;
};
extern const struct onx_preset_row onx_preset_rows[];   /* ends with .name == NULL */

const struct onx_preset_row *onx_preset_row(const char *name);          /* or NULL */
void onx_preset_from_row(const struct onx_preset_row *r, int channels, struct onx_preset *p);
const char *onx_fit_name(enum onx_fit fit);
int onx_fit_find(const char *name);             /* -1: none; "auto" does not count */
int onx_columns_copy(const struct onx_columns *from, struct onx_arena *a, struct onx_columns *to,
		     struct onx_err *e) ONX_MUST;

/* The pixel value 0..255 of picture channel k (RGB or grey) that the formula takes nearest to zero. */
uint8_t onx_preset_neutral(const struct onx_preset *p, int k);

#endif
