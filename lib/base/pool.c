/* base/pool.c -- threads that take pieces from a counter.
 *
 * A job is open while `open` is set.  A worker joins it under the lock (running++), takes pieces
 * until none is left, and leaves (running--).  The caller works too; when the pieces are gone it
 * closes the job and waits for those who joined.  Workers that were slow to wake find the job
 * closed and lie down again: nobody waits for them. */
#include "base/pool.h"
#include "base/arena.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum { SPIN = 4000, MAX_THREADS = 1024 };

struct worker { struct onx_pool *pool; pthread_t thread; int index; };

struct onx_pool {
	int threads, started;           /* workers 1 .. threads-1; the caller is worker 0 */
	struct worker *worker;
	pthread_mutex_t lock;
	pthread_cond_t work, rest;      /* a job came; the last worker left */
	atomic_uint job;                /* number of the newest job: idle workers spin on it */
	atomic_int running;             /* workers inside the job */
	bool open, stop;
	atomic_bool busy;               /* somebody is inside onx_parallel */
	onx_piece_fn *fn;
	void *ctx;
	size_t pieces;
	atomic_size_t next;
};

/* Which pool and worker the current thread is computing for: a nested call runs in place, with the
 * same worker number, so that scratch memory by worker stays private. */
static _Thread_local struct { const struct onx_pool *pool; int index; } self;

static inline void relax(void)
{
#if defined __x86_64__ || defined __i386__
	__builtin_ia32_pause();
#endif
}

static void take_pieces(struct onx_pool *p, onx_piece_fn *fn, void *ctx, size_t pieces, int index)
{
	for (;;) {
		size_t i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
		if (i >= pieces)
			return;
		fn(ctx, i, index);
	}
}

/* Until a job later than `seen` or the end; true: go on. Locks. */
static bool wait_for_job(struct onx_pool *p, unsigned *seen)
{
	for (int i = 0; i < SPIN && atomic_load_explicit(&p->job, memory_order_acquire) == *seen; i++)
		relax();
	pthread_mutex_lock(&p->lock);
	while (!p->stop && atomic_load(&p->job) == *seen)
		pthread_cond_wait(&p->work, &p->lock);
	*seen = atomic_load(&p->job);
	return !p->stop;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct onx_pool *p = w->pool;
	unsigned seen = 0;

	self.pool = p;
	self.index = w->index;
	while (wait_for_job(p, &seen)) {
		if (!p->open) {
			pthread_mutex_unlock(&p->lock);
			continue;
		}
		onx_piece_fn *fn = p->fn;
		void *ctx = p->ctx;
		size_t pieces = p->pieces;
		atomic_fetch_add(&p->running, 1);
		pthread_mutex_unlock(&p->lock);
		take_pieces(p, fn, ctx, pieces, w->index);
		pthread_mutex_lock(&p->lock);
		if (atomic_fetch_sub(&p->running, 1) == 1)
			pthread_cond_signal(&p->rest);
		pthread_mutex_unlock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void run_inline(const struct onx_pool *p, size_t pieces, onx_piece_fn *fn, void *ctx)
{
	const int index = p && self.pool == p ? self.index : 0;

	for (size_t i = 0; i < pieces; i++)
		fn(ctx, i, index);
}

void onx_parallel(struct onx_pool *p, size_t pieces, onx_piece_fn *fn, void *ctx)
{
	if (!p || p->threads == 1 || pieces <= 1 || atomic_exchange(&p->busy, true)) {
		run_inline(p, pieces, fn, ctx);
		return;
	}
	const struct onx_pool *outer = self.pool;
	const int outer_index = self.index;
	self.pool = p;
	self.index = 0;

	pthread_mutex_lock(&p->lock);
	p->fn = fn;
	p->ctx = ctx;
	p->pieces = pieces;
	atomic_store(&p->next, 0);
	p->open = true;
	atomic_fetch_add_explicit(&p->job, 1, memory_order_release);
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);

	take_pieces(p, fn, ctx, pieces, 0);
	for (int i = 0; i < SPIN && atomic_load(&p->running) > 0; i++)
		relax();
	pthread_mutex_lock(&p->lock);
	p->open = false;
	while (atomic_load(&p->running) > 0)
		pthread_cond_wait(&p->rest, &p->lock);
	pthread_mutex_unlock(&p->lock);

	self.pool = outer;
	self.index = outer_index;
	atomic_store(&p->busy, false);
}

/* Signals are for the thread that holds the terminal: workers block them all. */
static int start_workers(struct onx_pool *p, struct onx_err *e)
{
	sigset_t all, old;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (int i = 1; i < p->threads && rc == 0; i++) {
		p->worker[i] = (struct worker){ .pool = p, .index = i };
		rc = pthread_create(&p->worker[i].thread, NULL, worker_main, &p->worker[i]);
		if (rc == 0)
			p->started++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0)
		return onx_fail(e, ONX_IO, "cannot start thread %d of %d: %s", p->started + 2, p->threads,
				strerror(rc));
	return ONX_OK;
}

int onx_pool_new(int threads, struct onx_pool **out, struct onx_err *e)
{
	*out = NULL;
	if (threads < 0 || threads > MAX_THREADS)
		return onx_fail(e, ONX_USAGE, "%d threads asked for, from 1 to %d can be had", threads,
				MAX_THREADS);
	if (threads == 0)
		threads = onx_cores();
	struct onx_pool *p = onx_heap(1, sizeof *p);
	struct worker *w = onx_heap((size_t)threads, sizeof *w);
	if (!p || !w) {
		onx_heap_free(p);
		onx_heap_free(w);
		return onx_nomem(e, (double)threads * sizeof *w + sizeof *p, "the thread pool");
	}
	p->threads = threads;
	p->worker = w;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->rest, NULL);
	int rc = start_workers(p, e);
	if (rc < 0) {
		onx_pool_free(p);
		return rc;
	}
	*out = p;
	return ONX_OK;
}

void onx_pool_free(struct onx_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	atomic_fetch_add(&p->job, 1);
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (int i = 1; i <= p->started; i++)
		pthread_join(p->worker[i].thread, NULL);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->rest);
	pthread_mutex_destroy(&p->lock);
	onx_heap_free(p->worker);
	onx_heap_free(p);
}

int onx_pool_threads(const struct onx_pool *p)
{
	return p ? p->threads : 1;
}

int onx_cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) != 0)
		return 1;
	int n = CPU_COUNT(&set);
	return n < 1 ? 1 : n;
}
