/* base/arena.c -- chunks with pieces cut from them; the place where malloc and free are called. */
#include "base/arena.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined __SANITIZE_ADDRESS__
#define ONX_ASAN 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define ONX_ASAN 1
#endif
#endif

enum { ALIGN = 64, CHUNK = 64 * 1024, HUGE = 2 << 20, MANY = 4 * HUGE, PAGE = 4096, MANY_PAGES = 64 };

#ifdef ONX_ASAN
#include <sanitizer/asan_interface.h>
enum { RED = ALIGN };                   /* poisoned bytes after each piece */
static void hide(void *p, size_t n) { __asan_poison_memory_region(p, n); }
static void show(void *p, size_t n) { __asan_unpoison_memory_region(p, n); }
#else
enum { RED = 0 };
static void hide(void *p, size_t n) { (void)p; (void)n; }
static void show(void *p, size_t n) { (void)p; (void)n; }
#endif

struct onx_chunk {
	struct onx_chunk *below;
	size_t size, used;              /* of body */
	_Alignas(ALIGN) unsigned char body[];
};

/* Counts down to the allocation that a test wants to fail.  State of the process by purpose: the
 * code under test must not know about it. */
static atomic_long fail_in;

void onx_alloc_fail_at(long n)
{
	atomic_store(&fail_in, n);
}

static bool told_to_fail(void)
{
	if (atomic_load_explicit(&fail_in, memory_order_relaxed) <= 0)
		return false;
	return atomic_fetch_sub(&fail_in, 1) == 1;
}

/* a * b rounded up to ALIGN, or false on overflow (room is left for headers). */
static bool bytes_of(size_t count, size_t size, size_t *out)
{
	if (size != 0 && count > (SIZE_MAX / 4) / size)
		return false;
	*out = (count * size + ALIGN - 1) / ALIGN * ALIGN;
	return true;
}

static struct onx_chunk *new_chunk(struct onx_chunk *below, size_t body)
{
	struct onx_chunk *c = aligned_alloc(ALIGN, sizeof *c + body);

	if (!c)
		return NULL;
	c->below = below;
	c->size = body;
	c->used = 0;
	hide(c->body, body);
	return c;
}

void *onx_alloc(struct onx_arena *a, size_t count, size_t size)
{
	size_t bytes;

	if (!bytes_of(count, size, &bytes) || told_to_fail())
		return NULL;
	if (bytes == 0)
		bytes = ALIGN;          /* every piece has an address of its own */
	size_t want = bytes + RED;
	if (!a->top || a->top->size - a->top->used < want) {
		struct onx_chunk *c = new_chunk(a->top, want > CHUNK ? want : CHUNK);
		if (!c)
			return NULL;
		a->top = c;
	}
	unsigned char *p = a->top->body + a->top->used;
	a->top->used += want;
	a->live += bytes;
	if (a->live > a->peak)
		a->peak = a->live;
	show(p, bytes);
	memset(p, 0, bytes);
	hide(p + count * size, bytes - count * size);
	return p;
}

char *onx_dupn(struct onx_arena *a, const char *s, size_t n)
{
	char *d = n < SIZE_MAX ? onx_alloc(a, n + 1, 1) : NULL;

	if (d && n)
		memcpy(d, s, n);
	return d;
}

char *onx_dup(struct onx_arena *a, const char *s)
{
	return s ? onx_dupn(a, s, strlen(s)) : NULL;
}

char *onx_text(struct onx_arena *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *s = n < 0 ? NULL : onx_alloc(a, (size_t)n + 1, 1);
	if (!s)
		return NULL;
	va_start(ap, fmt);
	n = vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}

struct onx_mark onx_arena_mark(const struct onx_arena *a)
{
	return (struct onx_mark){ a->top, a->top ? a->top->used : 0, a->live };
}

void onx_arena_rewind(struct onx_arena *a, struct onx_mark m)
{
	while (a->top != m.top) {
		struct onx_chunk *c = a->top;
		a->top = c->below;
		show(c->body, c->size);
		free(c);
	}
	if (a->top) {
		hide(a->top->body + m.used, a->top->used - m.used);
		a->top->used = m.used;
	}
	a->live = m.live;
}

void onx_arena_release(struct onx_arena *a)
{
	onx_arena_rewind(a, (struct onx_mark){ NULL, 0, 0 });
	*a = (struct onx_arena){ 0 };
}

/* Large blocks on huge pages where the system has some to give: a pass over hundreds of megabytes is up to a
 * third faster, since addresses are found at once. */
static void *block_of(size_t bytes)
{
	const size_t align = bytes < MANY ? ALIGN : HUGE;
	void *p = aligned_alloc(align, bytes ? (bytes + align - 1) / align * align : align);

#ifdef MADV_HUGEPAGE
	if (p && align == HUGE)
		(void)madvise(p, bytes / HUGE * HUGE, MADV_HUGEPAGE);
#endif
	return p;
}

void *onx_heap(size_t count, size_t size)
{
	size_t bytes;

	if (!bytes_of(count, size, &bytes) || told_to_fail())
		return NULL;
	unsigned char *p = block_of(bytes);
	if (p)
		memset(p, 0, bytes);
	return p;
}

/* The pages of a large block are fetched in one call, not one by one as they are first written. */
void *onx_heap_bare(size_t bytes)
{
	unsigned char *p = told_to_fail() ? NULL : block_of(bytes);

#ifdef MADV_POPULATE_WRITE
	if (p && bytes >= MANY_PAGES * PAGE) {
		const size_t skip = (PAGE - (uintptr_t)p % PAGE) % PAGE;

		(void)madvise(p + skip, (bytes - skip) / PAGE * PAGE, MADV_POPULATE_WRITE);
	}
#endif
	return p;
}

void *onx_heap_grow(void *p, size_t old_bytes, size_t new_bytes)
{
	void *q = onx_heap(new_bytes, 1);

	if (!q)
		return NULL;
	if (p)
		memcpy(q, p, old_bytes < new_bytes ? old_bytes : new_bytes);
	free(p);
	return q;
}

void onx_heap_rest(void *p, size_t bytes)
{
	const size_t skip = (PAGE - (uintptr_t)p % PAGE) % PAGE;

	if (bytes >= skip + PAGE)
		(void)madvise((char *)p + skip, (bytes - skip) / PAGE * PAGE, MADV_DONTNEED);
}

void onx_heap_free(void *p)
{
	free(p);
}
