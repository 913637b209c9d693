/* data/source_i.h -- what the formats of data/source.c have in common.
 * A format's open() fills the public struct and the private one; everything is in s->arena but the
 * blocks named here, which onx_source_free releases. */
#ifndef ONX_SOURCE_I_H
#define ONX_SOURCE_I_H
#include "data/npy.h"
#include "data/source.h"

struct onx_format {
	const char *name, *help;
	bool (*sniff)(const char *spec);
	int (*open)(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e);
};
extern const struct onx_format onx_formats[];           /* ends with .name == NULL */

struct onx_source_priv {
	uint32_t *row;                  /* sample -> row of what follows; samples close up when dropped */
	const char *const *path;        /* folder: file of each row                                 */
	const float *feature;           /* csv: rows x columns.n_feature                            */
	struct onx_array *array;        /* npz, npy: one a part                                     */
	size_t n_array;
	const uint8_t *pixels;          /* idx                                                      */
	struct onx_bytes map;           /* idx: file behind pixels                                  */
	void *own;                      /* idx: heap block behind pixels                            */
	uint64_t hash;
};

int onx_open_folder(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e) ONX_MUST;
int onx_open_csv(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e) ONX_MUST;
int onx_open_npz(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e) ONX_MUST;
int onx_open_npy(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e) ONX_MUST;
int onx_open_idx(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e) ONX_MUST;

/* Labels of s->n samples as text -> class_name, n_class, label; by_value: whole numbers sort so. */
int onx_source_classes(struct onx_source *s, const struct onx_source_ask *ask, const char *const *text,
		       bool by_value, struct onx_err *e) ONX_MUST;
/* y of s->n samples -> classes or targets, as s->task says. */
int onx_source_targets(struct onx_source *s, const struct onx_source_ask *ask,
		       const struct onx_array *y, struct onx_err *e) ONX_MUST;
/* row[] = 0..n-1; n is bounded by 2^32 - 2. */
int onx_source_rows(struct onx_source *s, size_t n, struct onx_err *e) ONX_MUST;
/* Takes path, size and time of a file into the hash; ONX_IO if it cannot be looked at. */
int onx_source_stamp(struct onx_source *s, const char *path, struct onx_err *e) ONX_MUST;
/* One part of that kind; fails if the model has more inputs. */
int onx_source_one_part(struct onx_source *s, const struct onx_source_ask *ask, struct onx_part **out,
			struct onx_err *e) ONX_MUST;
/* "a,b" -> two paths in the arena; false if there is not exactly one comma. */
bool onx_two_paths(struct onx_arena *a, const char *spec, const char **one, const char **two);


#endif
