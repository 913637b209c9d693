/* data/batch_i.h -- a loader from inside: batch.c makes one, batchring.c runs it. */
#ifndef ONX_BATCH_I_H
#define ONX_BATCH_I_H
#include <pthread.h>
#include "base/arena.h"
#include "data/batch.h"
#include "data/sample_i.h"

enum { ONX_WORKERS_MAX = 256 };

/* One place in the ring. */
struct onx_slot {
	struct onx_view *input;         /* n_input, views of whole batches */
	int64_t (*dim)[ONX_RANK];
	void *y;
	size_t done;                    /* samples finished                */
	size_t fault_at;                /* the first one that failed       */
	struct onx_err fault;
};

struct onx_loader {
	struct onx_arena arena;
	struct onx_loader_opts opts;
	struct onx_source *src;
	struct onx_sampler sampler;
	struct onx_slot *slot;
	int depth;
	size_t room;                    /* samples that a slot holds: opts.batch as it began    */
	struct onx_batch batch;         /* what the caller holds: views cut to its samples      */
	struct onx_view *view;
	int64_t (*view_dim)[ONX_RANK];
	uint32_t *order;
	size_t order_cap;
	/* Below: under lock. */
	pthread_mutex_t lock;
	pthread_cond_t work, ready;
	size_t n, take, out;            /* samples of the pass; next to take; batches given back */
	int busy;
	bool probing, quit;
	bool *bad;                      /* probing: samples that cannot be decoded               */
	struct onx_err probe_fault;
	size_t probe_at;
	pthread_t thread[ONX_WORKERS_MAX];
	int n_thread;
};

/* batchring.c */
int onx_loader_workers(struct onx_loader *l, struct onx_err *e) ONX_MUST;      /* starts them */
/* The fault of a sample, with the way out where it has one; returns its code. */
int onx_loader_fault(const struct onx_loader *l, const struct onx_err *why, struct onx_err *e);

#endif
