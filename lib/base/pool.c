/* base/pool.c -- threads that take pieces, each from a run of its own.
 *
 * The pieces of a job are dealt out in runs of neighbours, one a thread, so that from one step of a plan to the next a
 * thread finds the same samples, which it left in its own cache itself: cores may be far apart.  A thread takes its
 * run from the front; when it is through, it takes from the end of the others'.
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
#include <stdint.h>
#include <string.h>

enum { SPIN = 4000, MAX_THREADS = 1024, MAX_PIECES = 1 << 30 };

/* run: pieces [low 32 bits, high 32 bits) that are left; alone in its cache line. */
struct worker {
	atomic_uint_least64_t run;
	struct onx_pool *pool;
	pthread_t thread;
	int index;
	char apart[64];
};

struct onx_pool {
	int threads, started;           /* workers 1 .. threads-1; the caller is worker 0 */
	struct worker *worker;          /* [threads] */
	pthread_mutex_t lock;
	pthread_cond_t work, rest;      /* a job came; the last worker left */
	atomic_uint job;                /* number of the newest job: idle workers spin on it */
	atomic_int running;             /* workers inside the job */
	bool open, stop;
	atomic_bool busy;               /* somebody is inside onx_parallel */
	onx_piece_fn *fn;
	void *ctx;
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

static inline uint64_t run_of(size_t from, size_t to)
{
	return (uint64_t)to << 32 | from;
}

/* A piece of w's run, the first or the last; false: none is left. */
static bool take(struct worker *w, bool last, size_t *piece)
{
	uint64_t now = atomic_load_explicit(&w->run, memory_order_relaxed), then;

	do {
		const size_t from = now & UINT32_MAX, to = now >> 32;

		if (from >= to)
			return false;
		*piece = last ? to - 1 : from;
		then = last ? run_of(from, to - 1) : run_of(from + 1, to);
	} while (!atomic_compare_exchange_weak_explicit(&w->run, &now, then, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static void take_pieces(struct onx_pool *p, onx_piece_fn *fn, void *ctx, int index)
{
	size_t piece;

	for (int k = 0; k < p->threads; k++) {
		struct worker *w = &p->worker[(index + k) % p->threads];

		while (take(w, k > 0, &piece))
			fn(ctx, piece, index);
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
		atomic_fetch_add(&p->running, 1);
		pthread_mutex_unlock(&p->lock);
		take_pieces(p, fn, ctx, w->index);
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
	if (!p || p->threads == 1 || pieces <= 1 || pieces > MAX_PIECES || atomic_exchange(&p->busy, true)) {
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
	for (size_t i = 0, n = (size_t)p->threads; i < n; i++)
		atomic_store_explicit(&p->worker[i].run, run_of(pieces * i / n, pieces * (i + 1) / n),
				      memory_order_relaxed);
	p->open = true;
	atomic_fetch_add_explicit(&p->job, 1, memory_order_release);
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);

	take_pieces(p, fn, ctx, 0);
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
		p->worker[i].pool = p;
		p->worker[i].index = i;
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
