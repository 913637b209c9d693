/* recipe/sections.c -- the tables of recipe/sections.h. */
#include <string.h>
#include "recipe/sections.h"

static const struct onx_field model_field[] = {
	{ "file", F_STR, offsetof(struct onx_model_opts, file), "", .arg = "FILE",
	  .help = "the model to adapt; without it, standard input" },
	{ "output", F_STR, offsetof(struct onx_model_opts, output), "", .arg = "FILE",
	  .help = "where the adapted model goes; without it, standard output" },
	{ "history", F_BOOL, offsetof(struct onx_model_opts, history), "true",
	  .help = "leave a line for each stage in the model" },
	{ .name = NULL }
};
const struct onx_table onx_model_table = { "model", sizeof(struct onx_model_opts), model_field, NULL, 0 };

static int data_check(const void *obj, struct onx_err *e)
{
	const struct onx_data_opts *o = obj;
	double fraction;
	bool is;

	return o->val ? onx_val_fraction(o->val, &fraction, &is, e) : ONX_OK;
}

static const struct onx_field data_field[] = {
	{ "data", F_STR, offsetof(struct onx_data_opts, data), "", .arg = "SRC", .group = "Data",
	  .help = "the samples: a folder with one sub-folder a class, a .csv, an .npz with an array for each "
	  "input and y, x.npy,y.npy, or IDX files images,labels" },
	{ "val", F_STR, offsetof(struct onx_data_opts, val), "", .arg = "SRC|FRACTION",
	  .help = "hold back this fraction of each class to validate on, or validate on other data" },
	{ .name = NULL }
};
const struct onx_table onx_data_table = { "data", sizeof(struct onx_data_opts), data_field, data_check, 0 };

int onx_val_fraction(const char *val, double *fraction, bool *is, struct onx_err *e)
{
	*is = onx_parse_real(val, fraction) == ONX_OK;
	if (*is && !(*fraction > 0 && *fraction < 1))
		return onx_fail(e, ONX_USAGE, "'val' must be a fraction between 0 and 1 or a data source, not '%s'",
				val);
	return ONX_OK;
}

static const struct onx_field log_field[] = {
	{ "events", F_STR, offsetof(struct onx_log_opts, events), "", .arg = "FILE", .group = "Traces",
	  .help = "write what happens, one JSON object a line, for onnx-report" },
	{ "checkpoint", F_STR, offsetof(struct onx_log_opts, checkpoint), "", .arg = "DIR",
	  .help = "keep the state of the run there, after each epoch" },
	{ "resume", F_STR, offsetof(struct onx_log_opts, resume), "", .arg = "DIR",
	  .help = "go on from the state that --checkpoint kept; the result has the same bits as a run that went "
	  "straight through" },
	{ "bench", F_INT, offsetof(struct onx_log_opts, bench), "0", 0, 1e6, .arg = "STEPS",
	  .help = "do not train: run so many steps on synthetic data; print the median of samples/s, and peak "
	  "memory" },
	{ .name = NULL }
};
const struct onx_table onx_log_table = { "log", sizeof(struct onx_log_opts), log_field, NULL, 0 };

static const struct onx_field eval_field[] = {
	{ "data", F_STR, offsetof(struct onx_eval_opts, data), NULL, .arg = "SRC", .group = "Evaluation",
	  .help = "the samples: a folder with one sub-folder a class, a .csv, an .npz with an array for each "
	  "input and y, x.npy,y.npy, or IDX files images,labels" },
	{ "batch", F_INT, offsetof(struct onx_eval_opts, batch), "32", 1, 65536, .letter = 'b', .arg = "N",
	  .help = "samples at a time" },
	{ "html", F_STR, offsetof(struct onx_eval_opts, html), "", .arg = "FILE",
	  .help = "write the scores and the confusion matrix as a page of their own" },
	{ "threads", F_INT, offsetof(struct onx_eval_opts, threads), "0", 0, 1024, .letter = 't', .arg = "N",
	  .help = "threads; 0: one for each core. The numbers do not depend on it" },
	{ .name = NULL }
};
const struct onx_table onx_eval_table = { "eval", sizeof(struct onx_eval_opts), eval_field, NULL, 0 };

int onx_export_batch(const char *text, int64_t *batch, struct onx_err *e)
{
	*batch = 0;
	if (strcmp(text, "any") == 0)
		return ONX_OK;
	if (onx_parse_int(text, batch) == ONX_OK && *batch >= 1 && *batch <= 65536)
		return ONX_OK;
	return onx_fail(e, ONX_USAGE, "'batch' must be 'any' or a number in [1, 65536], not '%s'", text);
}

static int export_check(const void *obj, struct onx_err *e)
{
	const struct onx_export_opts *o = obj;
	int64_t batch;

	return o->batch ? onx_export_batch(o->batch, &batch, e) : ONX_OK;
}

static const struct onx_field export_field[] = {
	{ "batch", F_STR, offsetof(struct onx_export_opts, batch), "", .letter = 'b', .arg = "N|any",
	  .help = "samples that the file takes at a time: any number, or always N (default: as it is)",
	  .group = "What to export" },
	{ "fold", F_BOOL, offsetof(struct onx_export_opts, fold), "no",
	  .help = "fold each BatchNormalization into the convolution in front of it" },
	{ "drop-idle", F_BOOL, offsetof(struct onx_export_opts, drop_idle), "no",
	  .help = "leave out Identity and Dropout nodes" },
	{ "verify", F_BOOL, offsetof(struct onx_export_opts, verify), "yes",
	  .help = "do not run the model before and after on made-up numbers to see that both agree" },
	{ .name = NULL }
};
const struct onx_table onx_export_table = { "export", sizeof(struct onx_export_opts), export_field, export_check,
					    0 };
