/* train/feature.h -- what the frozen prefix makes of each sample, computed once.
 * Rows in the order of a list of samples; with augmentation `views` rows a sample.  In memory up to a limit,
 * then in a file; with a folder the file stays there, named by a hash of prefix, preprocessing and data, and
 * the next run begins with it. */
#ifndef ONX_FEATURE_H
#define ONX_FEATURE_H
#include "base/map.h"
#include "base/note.h"
#include "data/batch.h"
#include "train/loop.h"
#include "train/runner.h"

struct onx_features {
	const uint32_t *cut; uint32_t n_cut;    /* values, borrowed                         */
	size_t *bytes, *at;                     /* by cut: of one sample; offset in a row   */
	size_t row;                             /* bytes of a row                           */
	uint32_t *place;                        /* by sample number: its place in the list  */
	size_t n, views;
	struct onx_map map;
	struct onx_arena arena;
	bool reused;                            /* found in the folder                      */
};
struct onx_features_ask {
	struct onx_runner *prefix;              /* feeds: the model's inputs; targets: the cut */
	const uint32_t *cut; uint32_t n_cut;
	struct onx_loader *loader;
	const struct onx_source *src;
	struct onx_list list;
	size_t views;                           /* 1 without augmentation                   */
	uint64_t key;                           /* of everything that decides the numbers   */
	const char *dir;                        /* NULL: not kept                           */
	size_t memory;                          /* bytes; above: a file                     */
	const struct onx_train_ask *train;      /* progress and stop; may be NULL           */
};
int onx_features_make(const struct onx_features_ask *ask, struct onx_features *f, struct onx_err *e) ONX_MUST;
void onx_features_release(struct onx_features *f);
/* Copies what n samples (of view `view`) have for cut k. */
void onx_features_copy(const struct onx_features *f, uint32_t k, const uint32_t *sample, size_t n, size_t view,
		       void *to);
/* Copies the rows of n samples (of view `view`) into the feeds of x. */
void onx_features_feed(const struct onx_features *f, const uint32_t *sample, size_t n, size_t view,
		       struct onx_exec *x);

#endif
