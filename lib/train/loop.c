/* train/loop.c -- epochs, steps, micro-batches. */
#include "train/loop.h"
#include <math.h>
#include <string.h>
#include "train/loop_i.h"

/* How much a sample weighs in the mean that the loss takes. */
static double sample_weight(const struct onx_trainer *t, const struct onx_source *src, uint32_t sample)
{
	if (src->task == ONX_TASK_REGRESS)
		return 1;
	const int64_t label = src->label[sample];
	if (label == t->o->ignore_index && t->ignores)
		return 0;
	/* Binary cross-entropy divides by the number of elements, whatever the classes weigh. */
	return t->weighted && label >= 0 && label < (int64_t)t->ask->obj.n_class
	       ? (double)t->ask->obj.class_weight[label] : 1;
}

static double weight_of(const struct onx_trainer *t, const struct onx_source *src, const uint32_t *sample,
			size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += sample_weight(t, src, sample[i]);
	return sum;
}

/* Labels of the samples, as the target's memory form, where no loader brings them. */
static struct onx_view labels(const struct onx_trainer *t, const struct onx_source *src,
			      const uint32_t *sample, size_t n, int64_t *dim)
{
	struct onx_view y = { .v = t->y, .n = n, .rank = 1, .dim = dim, .type = ONX_INT64, .width = 8 };
	dim[0] = (int64_t)n;
	dim[1] = (int64_t)src->n_target;
	if (src->task == ONX_TASK_CLASSIFY) {
		for (size_t i = 0; i < n; i++)
			((int64_t *)t->y)[i] = src->label[sample[i]];
		return y;
	}
	y.rank = 2;
	y.n = n * src->n_target;
	y.type = t->ask->wide ? ONX_DOUBLE : ONX_FLOAT;
	y.width = t->ask->wide ? 8 : 4;
	for (size_t i = 0; i < y.n; i++)
		onx_view_put_real(&y, i, (double)src->target[sample[i / src->n_target] * src->n_target +
							       i % src->n_target]);
	return y;
}

/* One source of micro-batches: the loader, or the kept features. */
struct stream {
	struct onx_trainer *t;
	const struct onx_source *src;
	struct onx_loader *loader;      /* NULL: features */
	const struct onx_features *f;
	const uint32_t *order; size_t n, at, view, micro;
	const void **number;            /* by feed: what a micro-batch is fed with */
};
struct micro { struct onx_exec *x; const uint32_t *sample; size_t n; struct onx_view y; int64_t dim[2]; };

static int stream_start(struct stream *s, uint64_t epoch, struct onx_err *e)
{
	s->at = 0;
	s->number = s->t->number;
	if (s->f)
		s->loader = NULL;
	return s->loader ? onx_loader_start(s->loader, s->order, s->n, epoch, e) : ONX_OK;
}

/* The next micro-batch, fed; m->n == 0 at the end.  With features a micro-batch never crosses the end of a
 * step (`limit` samples may be taken); a loader's batches divide the step evenly by construction.  seed, step: of
 * the forward run that follows. */
static int stream_next(struct stream *s, struct onx_runner *r, size_t limit, uint64_t seed, uint64_t step,
		       struct micro *m, struct onx_err *e)
{
	const struct onx_batch *b = NULL;
	m->n = 0;
	if (s->loader) {
		int rc = onx_loader_next(s->loader, &b, e);
		if (rc < 0 || !b)
			return rc;
		m->n = b->n;
		m->sample = b->index;
		m->y = b->y;
	} else {
		m->n = s->n - s->at < s->micro ? s->n - s->at : s->micro;
		m->n = m->n < limit ? m->n : limit;
		if (m->n == 0)
			return ONX_OK;
		m->sample = s->order + s->at;
		m->y = labels(s->t, s->src, m->sample, m->n, m->dim);
	}
	for (size_t i = 0; b && i < b->n_input && i < s->t->n_in; i++)
		s->number[i] = b->input[i].v;
	for (uint32_t k = 0; s->f && s->t->row && k < s->f->n_cut; k++)
		onx_features_copy(s->f, k, m->sample, m->n, s->view, s->t->row[k]);
	int rc = onx_runner_feed(r, (int64_t)m->n, s->number, seed, step, &m->x, e);
	if (rc < 0)
		return rc;
	if (s->f && !s->t->row)
		onx_features_feed(s->f, m->sample, m->n, s->view, m->x);
	onx_feed_target(m->x, s->t->ask->obj.target, &m->y);
	s->at += m->n;
	return ONX_OK;
}

static void tell(const struct onx_trainer *t, const char *phase, const struct onx_score *score, size_t done,
		 size_t all, double since)
{
	const struct onx_train_ask *ask = t->ask;
	if (!ask->progress)
		return;
	const double per_epoch = (double)(ask->train.n + ask->val.n / 3);
	const double epoch_done = (double)done + (phase[0] == 'v' ? (double)ask->train.n : 0);
	const double now = onx_clock() - t->began;
	const double share = ((double)t->epoch + epoch_done / (per_epoch > 0 ? per_epoch : 1)) /
			     (double)t->epochs;
	const struct onx_progress p = {
		.epoch = t->epoch + 1, .epochs = (uint64_t)t->epochs, .sample = done, .samples = all,
		.loss = onx_score_loss(score), .accuracy = onx_score_accuracy(score), .phase = phase,
		.samples_per_s = (double)done / (onx_clock() - since + 1e-9),
		.seconds_left = share > 0 && share < 1 ? now * (1 - share) / share : 0 };
	ask->progress(ask->progress_ctx, &p);
}

static int event_step(const struct onx_trainer *t, double loss, double lr, size_t n, struct onx_err *e)
{
	if (!t->ask->events)
		return ONX_OK;
	struct onx_json *j = onx_json_object();
	onx_json_str(j, "event", "step");
	onx_json_int(j, "step", (int64_t)t->step);
	onx_json_int(j, "epoch", (int64_t)t->epoch + 1);
	onx_json_real(j, "loss", loss);
	onx_json_real(j, "lr", lr);
	onx_json_int(j, "samples", (int64_t)n);
	return onx_events_put(t->ask->events, j, e);
}

/* One step: micro-batches until `n` samples are done, then an update. */
static int step(struct onx_trainer *t, struct stream *s, size_t n, double total_weight, struct onx_err *e)
{
	double loss = 0;
	bool any = false;
	for (size_t done = 0; done < n; ) {
		struct micro m;
		/* Random nodes draw by the place in the step, so that its parts do not drop the same. */
		const uint64_t seed = (uint64_t)t->o->seed, place = (t->step << 32) + done;
		int rc = stream_next(s, &t->train, n - done, seed, place, &m, e);
		if (rc < 0)
			return rc;
		if (m.n == 0)
			break;
		done += m.n;
		const double w = weight_of(t, s->src, m.sample, m.n);
		if (w <= 0)
			continue;
		onx_exec_forward(m.x, seed, place);
		const double l = onx_view_real(onx_exec_view(m.x, t->ask->obj.loss), 0);
		if (!isfinite(l))
			return onx_fail(e, ONX_NUMERIC, "the loss became %s at step %llu (epoch %llu); a smaller "
					"--lr than %g, or --clip 1, may help", isnan(l) ? "NaN" : "infinite",
					(unsigned long long)t->step + 1, (unsigned long long)t->epoch + 1, t->lr);
		onx_score_add(&t->e_train, onx_exec_view(m.x, t->ask->obj.logits), &m.y, l, w,
			      t->o->ignore_index);
		loss += l * w / total_weight;
		if (t->open.any && !any)         /* what this batch does not reach has no gradient, not an old one */
			memset(t->params->grad, 0, t->params->n * (t->ask->wide ? 8 : 4));
		onx_exec_backward(m.x, any || t->open.any, w / total_weight);
		any = true;
	}
	const double lr = onx_rate(t->o, t->lr, t->step, t->total, t->per_epoch);
	if (any)
		onx_optim_step(&t->optim, lr, t->ask->pool);
	t->step++;
	return event_step(t, loss, lr, n, e);
}

static bool stopped(const struct onx_trainer *t)
{
	return t->ask->stop && *t->ask->stop;
}

static int train_epoch(struct onx_trainer *t, struct onx_err *e)
{
	const struct onx_list *list = &t->ask->train;
	struct stream s = { .t = t, .src = t->ask->src, .loader = t->ask->loader,
			    .f = t->kept ? &t->tf : NULL, .order = t->order, .n = list->n,
			    .view = t->tf.views ? t->epoch % t->tf.views : 0, .micro = t->micro };
	if (t->o->shuffle)
		onx_shuffle(list, (uint64_t)t->o->seed, t->epoch, t->order);
	else
		memcpy(t->order, list->v, list->n * sizeof *list->v);
	t->e_train = (struct onx_score){ .n_class = t->ask->obj.n_class };
	onx_loader_augment(t->ask->loader, t->ask->augment);
	const double since = onx_clock();
	int rc = stream_start(&s, t->epoch, e);
	for (size_t at = 0; rc == ONX_OK && at < list->n && !stopped(t); ) {
		const size_t n = list->n - at < t->step_samples ? list->n - at : t->step_samples;
		const double w = weight_of(t, s.src, t->order + at, n);
		rc = step(t, &s, n, w > 0 ? w : 1, e);
		at += n;
		tell(t, "training", &t->e_train, at, list->n, since);
	}
	if (s.loader)
		onx_loader_stop(s.loader);
	return rc;
}

static int validate(struct onx_trainer *t, struct onx_err *e)
{
	struct stream s = { .t = t, .src = t->ask->vsrc, .loader = t->ask->vloader,
			    .f = t->kept ? &t->vf : NULL, .order = t->ask->val.v, .n = t->ask->val.n,
			    .micro = t->micro };
	t->e_val = (struct onx_score){ .n_class = t->ask->obj.n_class };
	onx_loader_augment(t->ask->vloader, NULL);
	const double since = onx_clock();
	int rc = stream_start(&s, 0, e);
	while (rc == ONX_OK && !stopped(t)) {
		struct micro m;
		rc = stream_next(&s, &t->eval, SIZE_MAX, 0, 0, &m, e);
		if (rc < 0 || m.n == 0)
			break;
		onx_exec_forward(m.x, 0, 0);
		onx_score_add(&t->e_val, onx_exec_view(m.x, t->ask->obj.logits), &m.y,
			      onx_view_real(onx_exec_view(m.x, t->ask->obj.loss), 0),
			      weight_of(t, s.src, m.sample, m.n), t->o->ignore_index);
		tell(t, "validation", &t->e_val, s.at, s.n, since);
	}
	if (s.loader)
		onx_loader_stop(s.loader);
	return rc;
}

/* Accuracy first, then loss; for regression the loss. */
static bool better(struct onx_trainer *t)
{
	const double now[2] = { t->ask->obj.n_class ? onx_score_accuracy(&t->e_val) : 0,
				-onx_score_loss(&t->e_val) };
	const bool yes = t->best_epoch == 0 || now[0] > t->best_score[0] ||
			 (now[0] == t->best_score[0] && now[1] > t->best_score[1]);
	if (yes)
		memcpy(t->best_score, now, sizeof now);
	return yes;
}

static void keep(struct onx_trainer *t)
{
	if (!better(t)) {
		t->since_best++;
		return;
	}
	t->best_epoch = t->epoch + 1;
	t->since_best = 0;
	t->best_val = t->e_val;
	if (t->best)
		memcpy(t->best, t->params->weight, t->params->n * (t->ask->wide ? 8 : 4));
}

static int event_epoch(const struct onx_trainer *t, double seconds, struct onx_err *e)
{
	const bool classes = t->ask->obj.n_class > 0, val = t->ask->val.n > 0;
	if (!t->ask->events)
		return ONX_OK;
	struct onx_json *j = onx_json_object();
	onx_json_str(j, "event", "epoch");
	onx_json_int(j, "epoch", (int64_t)t->epoch + 1);
	onx_json_real(j, "loss", onx_score_loss(&t->e_train));
	onx_json_real(j, classes ? "accuracy" : "rmse", classes ? onx_score_accuracy(&t->e_train)
		      : onx_score_rmse(&t->e_train));
	if (val) {
		onx_json_real(j, "val_loss", onx_score_loss(&t->e_val));
		onx_json_real(j, classes ? "val_accuracy" : "val_rmse", classes
			      ? onx_score_accuracy(&t->e_val) : onx_score_rmse(&t->e_val));
		onx_json_bool(j, "best", t->best_epoch == t->epoch + 1);
	}
	onx_json_real(j, "seconds", seconds);
	return onx_events_put(t->ask->events, j, e);
}

static void say_epoch(const struct onx_trainer *t, double seconds)
{
	const struct onx_note *note = &t->ask->note;
	const bool val = t->ask->val.n > 0;
	if (t->ask->obj.n_class && val)
		onx_say(note, ONX_INFO, "epoch %llu/%lld: loss %.4f, accuracy %.1f %%; validation: loss %.4f, "
			"accuracy %.1f ± %.1f %%%s (%.1f s)", (unsigned long long)t->epoch + 1,
			(long long)t->epochs, onx_score_loss(&t->e_train),
			100 * onx_score_accuracy(&t->e_train), onx_score_loss(&t->e_val),
			100 * onx_score_accuracy(&t->e_val), 100 * onx_score_accuracy_se(&t->e_val),
			t->best_epoch == t->epoch + 1 ? ", best" : "", seconds);
	else if (t->ask->obj.n_class)
		onx_say(note, ONX_INFO, "epoch %llu/%lld: loss %.4f, accuracy %.1f %% (%.1f s)",
			(unsigned long long)t->epoch + 1, (long long)t->epochs,
			onx_score_loss(&t->e_train), 100 * onx_score_accuracy(&t->e_train), seconds);
	else if (val)
		onx_say(note, ONX_INFO, "epoch %llu/%lld: loss %.5g; validation: loss %.5g, RMSE %.5g, "
			"R2 %.3f%s (%.1f s)", (unsigned long long)t->epoch + 1, (long long)t->epochs,
			onx_score_loss(&t->e_train), onx_score_loss(&t->e_val), onx_score_rmse(&t->e_val),
			onx_score_r2(&t->e_val), t->best_epoch == t->epoch + 1 ? ", best" : "", seconds);
	else
		onx_say(note, ONX_INFO, "epoch %llu/%lld: loss %.5g (%.1f s)", (unsigned long long)t->epoch + 1,
			(long long)t->epochs, onx_score_loss(&t->e_train), seconds);
}

static int one_epoch(struct onx_trainer *t, struct onx_err *e)
{
	const double since = onx_clock();
	int rc = train_epoch(t, e);
	if (rc == ONX_OK && t->ask->val.n && !stopped(t))
		rc = validate(t, e);
	if (rc < 0 || stopped(t))
		return rc;
	if (t->ask->val.n)
		keep(t);
	rc = event_epoch(t, onx_clock() - since, e);
	say_epoch(t, onx_clock() - since);
	t->epoch++;
	if (rc == ONX_OK && t->ask->checkpoint)
		rc = onx_ckpt_write(t, t->ask->checkpoint, e);
	return rc;
}

static int event_start(const struct onx_trainer *t, const struct onx_train_result *r, struct onx_err *e)
{
	if (!t->ask->events)
		return ONX_OK;
	struct onx_json *j = onx_json_object(), *cut = onx_json_array();
	onx_json_str(j, "event", "start");
	onx_json_int(j, "epochs", t->epochs);
	onx_json_int(j, "steps", (int64_t)t->total);
	onx_json_int(j, "batch", t->o->batch);
	onx_json_int(j, "samples", (int64_t)t->ask->train.n);
	onx_json_int(j, "val_samples", (int64_t)t->ask->val.n);
	onx_json_real(j, "lr", t->lr);
	onx_json_int(j, "weights", (int64_t)r->n_weight);
	onx_json_int(j, "peak_bytes", (int64_t)r->peak_bytes);
	for (uint32_t i = 0; t->kept && i < t->cut.n; i++)
		onx_json_str(cut, NULL, t->ask->g->value[t->cut.cut[i]].name);
	onx_json_put(j, "cached", cut);
	return onx_events_put(t->ask->events, j, e);
}

static int event_end(const struct onx_trainer *t, const struct onx_train_result *r, struct onx_err *e)
{
	if (!t->ask->events)
		return ONX_OK;
	struct onx_json *j = onx_json_object();
	onx_json_str(j, "event", "end");
	onx_json_int(j, "epochs", (int64_t)r->epochs);
	onx_json_int(j, "best_epoch", (int64_t)r->best_epoch);
	if (t->ask->val.n && t->ask->obj.n_class)
		onx_json_real(j, "val_accuracy", onx_score_accuracy(&r->val));
	if (t->ask->val.n)
		onx_json_real(j, "val_loss", onx_score_loss(&r->val));
	onx_json_real(j, "seconds", r->seconds);
	onx_json_bool(j, "stopped", r->stopped);
	return onx_events_put(t->ask->events, j, e);
}

static int epochs(struct onx_trainer *t, struct onx_train_result *r, struct onx_err *e)
{
	int rc = event_start(t, r, e);
	for (;;) {
		r->early = t->o->patience > 0 && t->since_best >= (uint64_t)t->o->patience;
		if (rc < 0 || t->epoch >= (uint64_t)t->epochs || stopped(t) || r->early)
			break;
		rc = one_epoch(t, e);
	}
	r->stopped = stopped(t);
	if (rc < 0)
		return rc;
	if (r->early)
		onx_say(&t->ask->note, ONX_INFO, "stopped early: no better epoch than %llu in the last %lld",
			(unsigned long long)t->best_epoch, (long long)t->o->patience);
	if (t->best && t->best_epoch)
		memcpy(t->params->weight, t->best, t->params->n * (t->ask->wide ? 8 : 4));
	onx_block_release(&t->block);   /* makes room for what the model gets back */
	return onx_params_store(t->params, e);
}

int onx_train(const struct onx_train_ask *ask, struct onx_train_result *r, struct onx_err *e)
{
	struct onx_trainer t = { .ask = ask, .o = ask->o, .began = onx_clock() };
	*r = (struct onx_train_result){ 0 };
	t.tf.map.fd = t.vf.map.fd = -1;
	int rc = onx_trainer_setup(&t, e);
	if (rc == ONX_OK && ask->resume)
		rc = onx_ckpt_read(&t, ask->resume, e);
	if (rc == ONX_OK)
		rc = onx_trainer_begin(&t, r, e);
	if (rc == ONX_OK && !ask->dry) {
		t.began = onx_clock();
		onx_params_keep_alone(t.params);
		rc = epochs(&t, r, e);
	}
	r->epochs = t.epoch;
	r->steps = t.step;
	r->best_epoch = t.best_epoch;
	r->train = t.e_train;
	r->val = t.best_epoch && t.best ? t.best_val : t.e_val;
	r->seconds = onx_clock() - t.began;
	if (rc == ONX_OK && !ask->dry)
		rc = event_end(&t, r, e);
	onx_trainer_release(&t);
	return rc;
}
