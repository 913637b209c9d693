/* tools/samples.h -- the data of a run, ready to be looped over: sources, preprocessing, loaders, lists.
 * Zero-initialise, open, close.  Everything belongs to the struct. */
#ifndef ONX_SAMPLES_H
#define ONX_SAMPLES_H
#include "data/augment.h"
#include "data/batch.h"
#include "data/preset.h"
#include "data/source.h"
#include "data/split.h"
#include "graph/graph.h"
#include "recipe/sections.h"
#include "tool.h"

struct onx_samples_ask {
	struct onx_work *w;             /* the model (its marks) and whom to tell                     */
	const struct onx_graph *g;
	const uint32_t *input; uint32_t n_input;        /* the model's own inputs                     */
	const struct onx_data_opts *data;
	const struct onx_source_opts *source;
	const struct onx_preset_opts *preset;
	const struct onx_augment *augment;              /* NULL: none                                 */
	int64_t batch, threads;
	int64_t mem;                    /* budget of everything; 0: none                              */
	uint64_t seed;
	bool wide;                      /* real numbers as double                                     */
	bool learn;                     /* training: classes, columns and statistics that the model does not
					   carry yet are learnt; otherwise a val of the options is left alone */
};

struct onx_samples {
	struct onx_source *src, *vsrc;          /* vsrc == src: held back; NULL: no validation        */
	struct onx_loader *loader, *vloader;    /* likewise                                           */
	struct onx_list train, val;             /* val.n == 0: no validation                          */
	struct onx_data_want *want; size_t n_want;
	struct onx_preset preset;
	uint64_t hash;                          /* of data and preprocessing                          */
	struct onx_arena mem;
};

int onx_samples_open(const struct onx_samples_ask *a, struct onx_samples *s, struct onx_err *e) ONX_MUST;
void onx_samples_close(struct onx_samples *s);
/* Classes, task and preprocessing into the model, so that later tools need not be told. */
int onx_samples_mark(const struct onx_samples *s, struct onx_model *m, struct onx_err *e) ONX_MUST;

#endif
