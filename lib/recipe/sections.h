/* recipe/sections.h -- settings that belong to no module of their own: which files a run is about.
 * Texts and lists belong to the arena that the struct was filled with. */
#ifndef ONX_SECTIONS_H
#define ONX_SECTIONS_H
#include "base/field.h"

/* model: what goes in and what comes out (onnx-adapt). */
struct onx_model_opts {
	const char *file;               /* NULL: standard input   */
	const char *output;             /* NULL: standard output  */
	bool history;
};
extern const struct onx_table onx_model_table;

/* data: the samples; how they are read is described by onx_source_table, onx_preset_table and
 * onx_augment_table of data/. */
struct onx_data_opts {
	const char *data;               /* SRC (data/source.h); NULL: not given                    */
	const char *val;                /* a fraction in (0, 1), a SRC, or NULL: no validation      */
};
extern const struct onx_table onx_data_table;
/* True and *fraction if val is a number; a number outside (0, 1) is a fault. */
int onx_val_fraction(const char *val, double *fraction, bool *is, struct onx_err *e) ONX_MUST;

/* train: where a run leaves its traces (the rest of the section is onx_train_table of train/). */
struct onx_log_opts {
	const char *events;             /* file or NULL                                            */
	const char *checkpoint, *resume;        /* folders or NULL                                 */
	int64_t bench;                  /* steps on synthetic data instead of training; 0: train   */
	bool profile;                   /* with bench: the time of each step of the plan           */
};
extern const struct onx_table onx_log_table;

/* eval: what a model is scored on and where the report goes (onnx-eval). */
struct onx_eval_opts {
	const char *data;
	int64_t batch, threads;
	bool precise;                   /* as in training                                          */
	const char *html;               /* NULL: no page                                           */
};
extern const struct onx_table onx_eval_table;

/* export: the file to deploy (onnx-export). */
struct onx_export_opts {
	const char *batch;              /* NULL: as it is; "sym" or "any", or a number             */
	bool fold, drop_idle, verify;
	bool fp16, fp16_io, int8;
	double tol;                     /* 0: the usual one, see onx_export_tolerance               */
};
extern const struct onx_table onx_export_table;
/* How far outputs may be off the largest one: what was said, else 0.25 for int8, 0.05 for fp16, else 1e-4. */
double onx_export_tolerance(const struct onx_export_opts *o);
/* 0 for "sym" and "any", else the number. */
int onx_export_batch(const char *text, int64_t *batch, struct onx_err *e) ONX_MUST;

#endif
