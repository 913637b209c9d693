/* train/sched.c -- schedules as rows. */
#include "train/sched.h"
#include <math.h>

struct at { const struct onx_train_opts *o; double lr; uint64_t step, total, per_epoch; };

static double between(double from, double to, double share)
{
	return to + (from - to) * (1 + cos(acos(-1.0) * share)) / 2;
}

static double constant(const struct at *a)
{
	return a->lr;
}

static double in_steps(const struct at *a)
{
	return a->lr * pow(a->o->gamma, (double)(a->step / a->per_epoch / (uint64_t)a->o->step_epochs));
}

/* Half a cosine over what follows the warm-up. */
static double cosine(const struct at *a)
{
	const double warm = a->o->warmup * (double)a->per_epoch;
	const double left = (double)a->total - warm;
	const double share = left > 0 ? ((double)a->step - warm) / left : 1;
	return between(a->lr, a->lr * a->o->min_lr, share < 0 ? 0 : share > 1 ? 1 : share);
}

static double onecycle(const struct at *a)
{
	const double top = 0.3 * (double)a->total - 1, end = (double)a->total - 1;
	const double step = (double)a->step;
	if (step <= top && top > 0)
		return between(a->lr / 25, a->lr, step / top);
	return between(a->lr, a->lr / 25 / 1e4, end > top ? (step - top) / (end - top) : 1);
}

double onx_rate(const struct onx_train_opts *o, double lr, uint64_t step, uint64_t total, uint64_t per_epoch)
{
	static double (*const row[])(const struct at *) = { constant, in_steps, cosine, onecycle };
	const struct at a = { o, lr, step, total, per_epoch ? per_epoch : 1 };
	const double warm = o->warmup * (double)a.per_epoch;
	if (o->schedule != ONX_ONECYCLE && (double)step + 1 <= warm)
		return lr * ((double)step + 1) / (warm + 1);
	return row[o->schedule](&a);
}
