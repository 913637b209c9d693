/* op/mlpairs.c -- probabilities of classes from those of pairs of classes: the second method of Wu, Lin and Weng
 * (Probability estimates for multi-class classification by pairwise coupling, 2004), as libsvm has it. */
#include "op/mlsvm_i.h"

/* A fixed point of Q p = p'Qp. */
void onx_couple(size_t n, const double *r, double *q, double *qp, double *p)
{
	const size_t rounds = n > 100 ? n : 100;

	for (size_t t = 0; t < n; t++) {
		p[t] = 1 / (double)n;
		q[t * n + t] = 0;
		for (size_t j = 0; j < n; j++)
			if (j != t) {
				q[t * n + t] += r[j * n + t] * r[j * n + t];
				q[t * n + j] = -r[j * n + t] * r[t * n + j];
			}
	}
	for (size_t round = 0; round < rounds; round++) {
		double all = 0, worst = 0;
		for (size_t t = 0; t < n; t++) {
			qp[t] = onx_ml_dot(q + t * n, p, n);
			all += p[t] * qp[t];
		}
		for (size_t t = 0; t < n; t++)
			worst = fabs(qp[t] - all) > worst ? fabs(qp[t] - all) : worst;
		if (worst < 0.005 / (double)n)
			break;
		for (size_t t = 0; t < n; t++) {
			const double step = (all - qp[t]) / q[t * n + t];
			p[t] += step;
			all = (all + step * (step * q[t * n + t] + 2 * qp[t])) / ((1 + step) * (1 + step));
			for (size_t j = 0; j < n; j++) {
				qp[j] = (qp[j] + step * q[t * n + j]) / (1 + step);
				p[j] /= 1 + step;
			}
		}
	}
}

/* The same fixed point with its slope dp [n] along dr [n][n]: each step differentiated, so that dp belongs to the
 * p that forward gives.  mem: 2 n^2 + 3 n doubles. */
void onx_couple_along(size_t n, const double *r, const double *dr, double *mem, double *dp)
{
	const size_t rounds = n > 100 ? n : 100;
	double *q = mem, *dq = q + n * n, *p = dq + n * n, *qp = p + n, *dqp = qp + n;

	for (size_t t = 0; t < n; t++) {
		p[t] = 1 / (double)n;
		dp[t] = q[t * n + t] = dq[t * n + t] = 0;
		for (size_t j = 0; j < n; j++)
			if (j != t) {
				const double a = r[j * n + t], da = dr[j * n + t];
				const double b = r[t * n + j], db = dr[t * n + j];
				q[t * n + t] += a * a;
				dq[t * n + t] += 2 * a * da;
				q[t * n + j] = -a * b;
				dq[t * n + j] = -(da * b + a * db);
			}
	}
	for (size_t round = 0; round < rounds; round++) {
		double all = 0, dall = 0, worst = 0;
		for (size_t t = 0; t < n; t++) {
			qp[t] = onx_ml_dot(q + t * n, p, n);
			dqp[t] = onx_ml_dot(dq + t * n, p, n) + onx_ml_dot(q + t * n, dp, n);
			all += p[t] * qp[t];
			dall += dp[t] * qp[t] + p[t] * dqp[t];
		}
		for (size_t t = 0; t < n; t++)
			worst = fabs(qp[t] - all) > worst ? fabs(qp[t] - all) : worst;
		if (worst < 0.005 / (double)n)
			break;
		for (size_t t = 0; t < n; t++) {
			const double own = q[t * n + t], down = dq[t * n + t], step = (all - qp[t]) / own;
			const double dstep = (dall - dqp[t] - step * down) / own, by = 1 + step;
			p[t] += step;
			dp[t] += dstep;
			dall += dstep * (step * own + 2 * qp[t]) + step * (dstep * own + step * down + 2 * dqp[t]);
			all = (all + step * (step * own + 2 * qp[t])) / (by * by);
			dall = (dall - 2 * all * by * dstep) / (by * by);
			for (size_t j = 0; j < n; j++) {
				qp[j] = (qp[j] + step * q[t * n + j]) / by;
				dqp[j] = (dqp[j] + dstep * q[t * n + j] + step * dq[t * n + j] - qp[j] * dstep) / by;
				p[j] /= by;
				dp[j] = (dp[j] - p[j] * dstep) / by;
			}
		}
	}
}
