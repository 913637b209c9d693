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
	{ "profile", F_BOOL, offsetof(struct onx_log_opts, profile), "no",
	  .help = "with --bench: the time, GFLOP/s and bytes of each operator and step of the plan, forward and "
	  "backward, slowest first" },
	{ .name = NULL }
};

static int log_check(const void *obj, struct onx_err *e)
{
	const struct onx_log_opts *o = obj;

	return o->profile && !o->bench ? onx_fail(e, ONX_USAGE, "'profile' needs 'bench'") : ONX_OK;
}
const struct onx_table onx_log_table = { "log", sizeof(struct onx_log_opts), log_field, log_check, 0 };

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
	{ "precise", F_BOOL, offsetof(struct onx_eval_opts, precise), "no",
	  .help = "leave out ways to compute that are faster, but round more than the formula" },
	{ .name = NULL }
};
const struct onx_table onx_eval_table = { "eval", sizeof(struct onx_eval_opts), eval_field, NULL, 0 };

int onx_export_batch(const char *text, int64_t *batch, struct onx_err *e)
{
	*batch = 0;
	if (strcmp(text, "any") == 0 || strcmp(text, "sym") == 0)
		return ONX_OK;
	if (onx_parse_int(text, batch) == ONX_OK && *batch >= 1 && *batch <= 65536)
		return ONX_OK;
	return onx_fail(e, ONX_USAGE, "'batch' must be 'sym' or a number in [1, 65536], not '%s'", text);
}

static int export_check(const void *obj, struct onx_err *e)
{
	const struct onx_export_opts *o = obj;
	int64_t batch;

	if (o->fp16 && o->int8)
		return onx_fail(e, ONX_USAGE, "'fp16' and 'int8' exclude each other");
	if (o->fp16_io && !o->fp16)
		return onx_fail(e, ONX_USAGE, "'fp16-io' needs 'fp16'");
	return o->batch ? onx_export_batch(o->batch, &batch, e) : ONX_OK;
}

double onx_export_tolerance(const struct onx_export_opts *o)
{
	return o->tol > 0 ? o->tol : o->int8 ? 0.25 : o->fp16 ? 0.05 : 1e-4;
}

static const struct onx_field export_field[] = {
	{ "batch", F_STR, offsetof(struct onx_export_opts, batch), "", .letter = 'b', .arg = "N|sym",
	  .help = "samples that the file takes at a time: always N, or any number (sym, also any; a batch of 1 that "
	  "is baked in is opened); default: as it is",
	  .group = "What to export" },
	{ "fold", F_BOOL, offsetof(struct onx_export_opts, fold), "no",
	  .help = "compute what never changes once and for all, and fold each BatchNormalization into the Conv, "
	  "ConvTranspose or Gemm in front of it" },
	{ "drop-idle", F_BOOL, offsetof(struct onx_export_opts, drop_idle), "no",
	  .help = "leave out Identity and Dropout nodes" },
	{ "fp16", F_BOOL, offsetof(struct onx_export_opts, fp16), "no", .group = "Smaller numbers",
	  .help = "weights and arithmetic in float16: half the size; inputs and outputs stay float32 behind a Cast" },
	{ "fp16-io", F_BOOL, offsetof(struct onx_export_opts, fp16_io), "no",
	  .help = "with --fp16: inputs and outputs are float16, too" },
	{ "int8", F_BOOL, offsetof(struct onx_export_opts, int8), "no",
	  .help = "weights of Conv, ConvTranspose, Gemm and MatMul as int8 with a scale for each output channel, made "
	  "float again by DequantizeLinear (before opset 13 by Cast and Mul): a quarter of the size, runs in every "
	  "runtime, needs no data; the arithmetic stays float" },
	{ "verify", F_BOOL, offsetof(struct onx_export_opts, verify), "yes",
	  .help = "do not run the model before and after on made-up numbers to see that both agree (onnx-diff --data "
	  "compares them on yours)", .group = "Checks" },
	{ "tol", F_REAL, offsetof(struct onx_export_opts, tol), "0", 0, 1e6, .arg = "X",
	  .help = "outputs may be off by this part of the largest one; 0: 0.0001, with --fp16 0.05, with --int8 0.25" },
	{ .name = NULL }
};
const struct onx_table onx_export_table = { "export", sizeof(struct onx_export_opts), export_field, export_check,
					    0 };
