/* recipe/sections.c -- the tables of recipe/sections.h. */
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

static const struct onx_field eval_field[] = {
	{ "batch", F_INT, offsetof(struct onx_eval_opts, batch), "32", 1, 65536, .letter = 'b', .arg = "N",
	  .help = "samples at a time", .group = "Evaluation" },
	{ "top", F_INT, offsetof(struct onx_eval_opts, top), "1", 1, 1000, .arg = "K",
	  .help = "also count as right where the class is among the K best" },
	{ "html", F_STR, offsetof(struct onx_eval_opts, html), "", .arg = "FILE",
	  .help = "write the scores and the confusion matrix as a page of their own" },
	{ "threads", F_INT, offsetof(struct onx_eval_opts, threads), "0", 0, 1024, .arg = "N",
	  .help = "threads; 0: one for each core" },
	{ .name = NULL }
};
const struct onx_table onx_eval_table = { "eval", sizeof(struct onx_eval_opts), eval_field, NULL, 0 };
