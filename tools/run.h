/* tools/run.h -- the parts of onnx-run: what goes in, what comes out, how fast. */
#ifndef ONX_RUN_H
#define ONX_RUN_H
#include "data/preset.h"
#include "session.h"
#include "tool.h"

struct onx_run_opts {
	int64_t top, batch, threads, bench, size;
	bool precise;                   /* no way that rounds more than the formula         */
	bool profile;                   /* with bench: time of each step                    */
	bool test;                      /* the operands are folders of backend tests        */
	const char *labels;             /* a file with a name a line; NULL: the model's own */
	const char *list;               /* with test: those that must pass, or NULL         */
	int format;                     /* enum onx_run_format                              */
	int64_t print;                  /* numbers of an output that are printed            */
};
enum onx_run_format { ONX_RUN_NPY, ONX_RUN_PB };

struct onx_run_job {
	struct onx_work *w;
	const struct onx_run_opts *o;
	const struct onx_preset_opts *preset;
	struct onx_session s;
	int64_t batch;                  /* o->batch, or 1 where the file takes one sample at a time */
	struct onx_feed *feed;          /* for each graph input                             */
	struct onx_view *in;            /* its numbers; .v NULL: nobody gave any            */
	const char *const *label; size_t n_label;
	const char **picture; size_t n_picture;         /* run one after another through input 0 */
	struct onx_json *json;          /* list of results, or NULL: text                   */
};

/* run_in.c: NAME=FILE and bare files into r->in and r->feed. */
int onx_run_inputs(struct onx_run_job *r, struct onx_err *e) ONX_MUST;
/* Decodes picture i into input 0. */
int onx_run_picture(struct onx_run_job *r, size_t i, struct onx_err *e) ONX_MUST;

/* run_out.c: the outputs of one run as text, JSON or files. `what`: name of the picture, or NULL. */
int onx_run_outputs(struct onx_run_job *r, const char *what, struct onx_err *e) ONX_MUST;

/* run_bench.c: synthetic inputs, median of o->bench runs. */
int onx_run_bench(struct onx_run_job *r, struct onx_err *e) ONX_MUST;

#endif
