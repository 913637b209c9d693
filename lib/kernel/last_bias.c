/* kernel/last_bias.c -- gradient of a bias with channels last: the sum of all rows.
 * Rows of few channels are taken several at a time, as one stripe; of many, COLS columns at a time.  At most TERMS
 * stripes are summed in single precision; a piece is some stripes, with sums of its own in double. */
#include "kernel/cpu.h"
#include "kernel/last.h"

enum { COLS = 256, PIECES = 16, TERMS = 128 };

struct job {
	size_t width, count, by;        /* numbers of a stripe; stripes, in all and of a piece */
	const real *dy;                 /* from the first of n columns on */
	size_t n;
	double part[PIECES][COLS];
};

ONX_CLONES
static void sum_rows(const real *restrict x, size_t step, size_t n, size_t rows, double *restrict part)
{
	real sum[COLS];

	for (size_t done = 0, end; done < rows; done = end) {
		end = done + TERMS < rows ? done + TERMS : rows;
		for (size_t i = 0; i < n; i++)
			sum[i] = 0;
		for (const real *restrict row = x + done * step; done < end; done++, row += step) {
			ONX_IN_ORDER;
			for (size_t i = 0; i < n; i++)
				sum[i] += row[i];
		}
		for (size_t i = 0; i < n; i++)
			part[i] += (double)sum[i];
	}
}

static void sum_piece(void *ctx, size_t piece, int worker)
{
	struct job *j = ctx;
	double *const part = j->part[piece];
	size_t lo, hi;

	(void)worker;
	onx_piece(j->count, j->by, piece, &lo, &hi);
	for (size_t i = 0; i < j->n; i++)
		part[i] = 0;
	sum_rows(j->dy + lo * j->width, j->width, j->n, hi - lo, part);
}

void onx_last_bgrad(struct onx_pool *pool, size_t rows, size_t ch, const real *dy, real *db, bool add)
{
	const size_t k = ch == 0 || ch > COLS ? 1 : COLS / ch;
	struct job j = { .width = k * ch, .count = rows / k };
	const size_t by = onx_pieces(j.count, PIECES);
	const real *const rest = dy + j.count * j.width;

	j.by = by > TERMS ? by : TERMS;
	for (size_t col = 0; col < j.width; col += COLS) {
		const size_t pieces = onx_pieces(j.count, j.by);

		j.dy = dy + col;
		j.n = j.width - col < COLS ? j.width - col : COLS;
		onx_parallel(pool, pieces, sum_piece, &j);
		for (size_t c = 0; c < (j.n < ch ? j.n : ch); c++) {
			double sum = 0;

			for (size_t p = 0; p < pieces; p++)
				for (size_t i = c; i < j.n; i += ch)
					sum += j.part[p][i];
			for (size_t r = 0; r < rows - j.count * k; r++)
				sum += (double)rest[r * ch + col + c];
			onx_put(&db[col + c], add, (real)sum);
		}
	}
}
