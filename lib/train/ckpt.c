/* train/ckpt.c -- a checkpoint: what the next epoch depends on, written between epochs.
 *
 * DIR/state.ckpt, little-endian:
 *   "ONXCKPT2"  u64 key  u64 epoch, step, optimiser steps, best epoch, epochs since  f64 score[2]
 *   the best epoch's score on the validation data (struct onx_score)
 *   u64 n, width, blocks   then the blocks of n numbers: weights, optimiser state, best weights
 * The key is a hash of the settings and of what trains: a checkpoint of another run is refused. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include "base/io.h"
#include "train/loop_i.h"

struct head {
	char magic[8];
	uint64_t key, epoch, step, t, best_epoch, since;
	double score[2];
	struct onx_score best_val;
	uint64_t n, width, blocks;
};

/* Settings that do not decide results stay out of the key. */
static bool decides(const char *name)
{
	static const char *const not[] = { "threads", "cache", "cache-dir" };
	for (size_t i = 0; i < sizeof not / sizeof *not; i++)
		if (strcmp(not[i], name) == 0)
			return false;
	return true;
}

static uint64_t key_of(const struct onx_trainer *t)
{
	struct onx_buf b = { 0 };
	for (const struct onx_field *f = onx_train_table.field; f->name; f++)
		if (decides(f->name)) {
			onx_buf_fmt(&b, "%s=", f->name);
			onx_field_show(f, t->o, &b);
			onx_buf_str(&b, "\n");
		}
	for (uint32_t i = 0; i < t->params->n_value; i++)
		onx_buf_fmt(&b, "%s:%zu\n", t->ask->g->value[t->params->value[i]].name,
			    t->params->at[t->params->value[i]]);
	uint64_t key = onx_hash(b.data, b.len, t->ask->data_hash);
	key = onx_hash(t->ask->train.v, t->ask->train.n * sizeof *t->ask->train.v, key);
	key = onx_hash(t->ask->val.v, t->ask->val.n * sizeof *t->ask->val.v, key);
	onx_buf_release(&b);
	return key;
}

static uint64_t n_blocks(const struct onx_trainer *t)
{
	return 1 + t->optim.n_state + (t->best ? 1 : 0);
}

static void *block(const struct onx_trainer *t, uint64_t i)
{
	if (i == 0)
		return t->params->weight;
	return i <= t->optim.n_state ? t->optim.state[i - 1] : t->best;
}

static const char *file_in(struct onx_arena *a, const char *dir)
{
	return onx_join(a, dir, "state.ckpt");
}

int onx_ckpt_write(const struct onx_trainer *t, const char *dir, struct onx_err *e)
{
	struct onx_arena a = { 0 };
	struct onx_out o;
	const struct head h = {
		.magic = "ONXCKPT2", .key = key_of(t), .epoch = t->epoch, .step = t->step, .t = t->optim.t,
		.best_epoch = t->best_epoch, .since = t->since_best,
		.score = { t->best_score[0], t->best_score[1] }, .best_val = t->best_val, .n = t->params->n,
		.width = t->ask->wide ? 8 : 4, .blocks = n_blocks(t) };
	if (mkdir(dir, 0777) != 0 && errno != EEXIST)
		return onx_fail(e, ONX_IO, "cannot create the folder '%s': %s", dir, strerror(errno));
	const char *path = file_in(&a, dir);
	int rc = path ? onx_out_open(path, true, &o, e) : onx_nomem(e, 4096, "the checkpoint");
	if (rc == ONX_OK) {
		rc = onx_out_write(&o, &h, sizeof h, e);
		for (uint64_t i = 0; rc == ONX_OK && i < h.blocks; i++)
			rc = onx_out_write(&o, block(t, i), h.n * h.width, e);
		if (rc == ONX_OK)
			rc = onx_out_commit(&o, e);
		else
			onx_out_abandon(&o);
	}
	onx_arena_release(&a);
	return rc < 0 ? onx_while(e, rc, "writing a checkpoint") : rc;
}

static int take(struct onx_trainer *t, const struct onx_bytes *b, const char *path, struct onx_err *e)
{
	struct head h;
	if (b->len < sizeof h || memcmp(b->data, "ONXCKPT2", 8) != 0)
		return onx_fail(e, ONX_FORMAT, "'%s' is not a checkpoint", path);
	memcpy(&h, b->data, sizeof h);
	if (h.key != key_of(t) || h.n != t->params->n || h.blocks != n_blocks(t) ||
	    h.width != (t->ask->wide ? 8u : 4u))
		return onx_fail(e, ONX_USAGE, "'%s' is from another run: model, data and settings must be "
				"the same", path);
	const size_t bytes = (size_t)h.n * h.width;
	if (b->len != sizeof h + bytes * h.blocks)
		return onx_fail(e, ONX_FORMAT, "'%s' has %zu bytes, wanted %zu", path, b->len,
				sizeof h + bytes * h.blocks);
	for (uint64_t i = 0; i < h.blocks; i++)
		memcpy(block(t, i), b->data + sizeof h + i * bytes, bytes);
	t->epoch = h.epoch;
	t->step = h.step;
	t->optim.t = h.t;
	t->best_epoch = h.best_epoch;
	t->since_best = h.since;
	memcpy(t->best_score, h.score, sizeof h.score);
	t->best_val = h.best_val;
	t->best_val.confusion = NULL;
	return ONX_OK;
}

int onx_ckpt_read(struct onx_trainer *t, const char *dir, struct onx_err *e)
{
	struct onx_arena a = { 0 };
	struct onx_bytes b = { 0 };
	const char *path = file_in(&a, dir);
	int rc = path ? onx_read(path, SIZE_MAX, &b, e) : onx_nomem(e, 4096, "the checkpoint");
	if (rc == ONX_OK)
		rc = take(t, &b, path, e);
	onx_bytes_release(&b);
	if (rc == ONX_OK)
		onx_say(&t->ask->note, ONX_INFO, "resumed from '%s': %llu epochs done", dir,
			(unsigned long long)t->epoch);
	onx_arena_release(&a);
	return rc;
}
