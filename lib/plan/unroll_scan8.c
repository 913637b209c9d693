/* plan/unroll_scan8.c -- Scan of version 8 written out: a scan for each sample of a batch, of a length of its own.
 *
 * Lengths that are known while planning say how often a sample turns, and the rest of its slices are zeros.  Where they
 * are not, every sample turns as often as there are slices, and in turns behind its length it keeps its states and
 * gives zeros (Where); a scan from the last slice on then finds its slice by Gather. */
#include "op/control.h"
#include "plan/unroll_i.h"
#include "tensor/seq.h"

struct scan8 {
	struct onx_node n;
	struct onx_body b;
	const struct onx_control_attr *a;
	uint32_t n_state, n_cut, n_scan;
	size_t batch, turns;
	const struct onx_view *lens;    /* known lengths, or NULL                      */
	uint32_t *len;                  /* by sample: a scalar, where they are not; or NULL */
	uint32_t *port;                 /* [state or scan input][sample]               */
	uint32_t *final, *slices;       /* [state][sample], [scan output][sample]      */
	uint32_t *in, *out, *cut, *made;        /* of a sample: cut[input][turn], made[output][turn] */
};

static int no_memory(double n, struct onx_err *e)
{
	return onx_nomem(e, n, "a loop that is written out");
}

static int op(struct unroll *u, const char *type, const uint32_t *in, uint32_t n_in, enum onx_dtype out, uint32_t *id,
	      struct onx_err *e)
{
	int rc = onx_unroll_value(u, out, id, e);
	return rc < 0 ? rc : onx_unroll_node(u, type, ONX_NEWEST_OPSET, n_in, in, 1, id, NULL, 0, e);
}

/* Zeros in the shape of a slice of output k, one number where rank is 0. */
static int zeros(struct unroll *u, const struct scan8 *s, uint32_t k, int rank, uint32_t *id, struct onx_err *e)
{
	const struct onx_fact *f = &u->f->fact[s->n.out[k]];
	const size_t width = onx_dtype_store(f->type, false);
	struct onx_view *v = onx_tensor_new(&u->scratch, f->type, rank, f->shape.dim + 2, width);
	struct onx_fact t = { .type = f->type, .value = v, .shape.rank = rank };
	if (!v)
		return no_memory(64, e);
	for (int d = 0; d < rank; d++)
		t.shape.dim[d] = f->shape.dim[d + 2];
	int rc = onx_unroll_value(u, t.type, id, e);
	return rc < 0 ? rc : onx_unroll_known(u, *id, &t, e);
}

static bool wanted(const struct scan8 *s, uint32_t k)
{
	return k < s->n.n_out && s->n.out[k] != ONX_NONE;
}

/* Slice of turn t of scan input k, for a length that is not known: number len - 1 - t, in the first len. */
static int slice_back(struct unroll *u, const struct scan8 *s, uint32_t k, size_t b, size_t t, uint32_t *id,
		      struct onx_err *e)
{
	uint32_t in[2] = { s->len[b] }, at, none;
	int rc = onx_unroll_number(u, ONX_INT64, (int64_t)t + 1, &in[1], e);
	if (rc == ONX_OK)
		rc = op(u, "Sub", in, 2, ONX_INT64, &at, e);
	if (rc == ONX_OK)
		rc = onx_unroll_number(u, ONX_INT64, 0, &none, e);
	if (rc == ONX_OK)
		rc = op(u, "Max", (const uint32_t[]){ at, none }, 2, ONX_INT64, &in[1], e);
	in[0] = s->port[(s->n_state + k) * s->batch + b];
	return rc < 0 ? rc : op(u, "Gather", in, 2, u->f->fact[s->n.in[1 + s->n_state + k]].type, id, e);
}

static int cut_sample(struct unroll *u, const struct scan8 *s, size_t b, size_t len, struct onx_err *e)
{
	int rc = ONX_OK;
	for (uint32_t k = 0; rc == ONX_OK && k < s->n_cut; k++) {
		const bool back = onx_ints_at(&s->a->in_back, k) != 0;
		uint32_t *cut = s->cut + k * s->turns;
		for (size_t t = 0; rc == ONX_OK && back && s->len && t < s->turns; t++)
			rc = slice_back(u, s, k, b, t, &cut[t], e);
		if (rc < 0 || (back && s->len))
			continue;
		rc = onx_unroll_cut(u, s->port[(s->n_state + k) * s->batch + b],
				    u->f->fact[s->n.in[1 + s->n_state + k]].type, 0, s->turns, cut, e);
		for (size_t t = 0; rc == ONX_OK && back && t < len / 2; t++) {
			const uint32_t x = cut[t];
			cut[t] = cut[len - 1 - t];
			cut[len - 1 - t] = x;
		}
	}
	return rc;
}

/* Behind the length of sample b: states as they were (s->in), zeros as slices. */
static int behind(struct unroll *u, const struct scan8 *s, size_t b, size_t t, struct onx_err *e)
{
	uint32_t in[2], is, none;
	int rc = onx_unroll_number(u, ONX_INT64, (int64_t)t, &in[0], e);
	in[1] = s->len[b];
	if (rc == ONX_OK)
		rc = op(u, "Less", in, 2, ONX_BOOL, &is, e);
	for (uint32_t k = 0; rc == ONX_OK && k < s->n_state + s->n_scan; k++) {
		if (k >= s->n_state && !wanted(s, k))
			continue;
		if (k >= s->n_state)
			rc = zeros(u, s, k, 0, &none, e);
		const uint32_t x[3] = { is, s->out[k], k < s->n_state ? s->in[k] : none };
		const enum onx_dtype type = k < s->n_state ? u->f->fact[s->n.in[1 + k]].type
					    : u->f->fact[s->n.out[k]].type;
		if (rc == ONX_OK)
			rc = op(u, "Where", x, 3, type, &s->out[k], e);
	}
	return rc;
}

static int one_sample(struct unroll *u, const struct scan8 *s, size_t b, struct onx_err *e)
{
	const size_t len = s->lens ? (size_t)onx_view_int(s->lens, b) : s->turns;
	int rc = cut_sample(u, s, b, len, e);
	for (uint32_t k = 0; k < s->n_state; k++)
		s->in[k] = s->port[k * s->batch + b];
	for (size_t t = 0; rc == ONX_OK && t < s->turns; t++) {
		for (uint32_t k = 0; k < s->n_cut; k++)
			s->in[s->n_state + k] = s->cut[k * s->turns + t];
		if (t < len)
			rc = onx_unroll_body(u, &s->b, b * s->turns + t, s->in, s->out, e);
		for (uint32_t k = 0; rc == ONX_OK && t >= len && k < s->n_scan; k++)
			if (wanted(s, s->n_state + k))
				rc = zeros(u, s, s->n_state + k, u->f->fact[s->n.out[s->n_state + k]].shape.rank - 2,
					   &s->out[s->n_state + k], e);
		if (rc == ONX_OK && s->len)
			rc = behind(u, s, b, t, e);
		for (uint32_t k = 0; t < len && k < s->n_state; k++)
			s->in[k] = s->out[k];
		for (uint32_t k = 0; k < s->n_scan; k++)
			s->made[k * s->turns + t] = s->out[s->n_state + k];
	}
	for (uint32_t k = 0; k < s->n_state; k++)
		s->final[k * s->batch + b] = s->in[k];
	for (uint32_t k = 0; rc == ONX_OK && k < s->n_scan; k++) {
		uint32_t *all = &s->slices[k * s->batch + b];
		if (!wanted(s, s->n_state + k))
			continue;
		const enum onx_dtype type = u->f->fact[s->n.out[s->n_state + k]].type;
		rc = onx_unroll_value(u, type, all, e);
		if (rc == ONX_OK)
			rc = onx_unroll_stack(u, type, s->made + k * s->turns, s->turns, 0, *all, e);
	}
	return rc;
}

static int open_scan(struct unroll *u, struct scan8 *s, struct onx_err *e)
{
	struct onx_arena *a = &u->scratch;
	const size_t ports = s->n_state + s->n_cut;
	s->port = ONX_NEWS(a, uint32_t, ports * s->batch + 1);
	s->final = ONX_NEWS(a, uint32_t, s->n_state * s->batch + 1);
	s->slices = ONX_NEWS(a, uint32_t, s->n_scan * s->batch + 1);
	s->in = ONX_NEWS(a, uint32_t, ports + 1);
	s->out = ONX_NEWS(a, uint32_t, s->b.g->n_output + 1u);
	s->cut = ONX_NEWS(a, uint32_t, s->n_cut * s->turns + 1);
	s->made = ONX_NEWS(a, uint32_t, s->n_scan * s->turns + 1);
	if (!s->port || !s->final || !s->slices || !s->in || !s->out || !s->cut || !s->made)
		return no_memory((double)ports * (double)s->batch * 4, e);
	const uint32_t lens = s->n.in[0];
	int rc = ONX_OK;
	if (lens != ONX_NONE && !(s->lens = u->f->fact[lens].value)) {
		s->len = ONX_NEWS(a, uint32_t, s->batch + 1);
		rc = s->len ? onx_unroll_cut(u, lens, u->f->fact[lens].type, 0, s->batch, s->len, e)
		     : no_memory(4.0 * (double)s->batch, e);
	}
	for (size_t k = 0; rc == ONX_OK && k < ports; k++)
		rc = onx_unroll_cut(u, s->n.in[1 + k], u->f->fact[s->n.in[1 + k]].type, 0, s->batch,
				    s->port + k * s->batch, e);
	return rc;
}

int onx_unroll_scan8(struct unroll *u, const struct onx_turns *turns, struct onx_err *e)
{
	struct scan8 s = { .n = u->g->node[u->at], .turns = turns->n };
	s.a = s.n.attr;
	s.b = s.n.body[0];
	s.n_cut = (uint32_t)s.a->scan_inputs;
	s.n_state = s.n.n_in - 1 - s.n_cut;
	s.n_scan = s.b.g->n_output - s.n_state;
	s.batch = (size_t)u->f->fact[s.n.in[1 + s.n_state]].shape.dim[0];
	int rc = open_scan(u, &s, e);
	for (size_t b = 0; rc == ONX_OK && b < s.batch; b++)
		rc = one_sample(u, &s, b, e);
	for (uint32_t k = 0; rc == ONX_OK && k < s.n_state; k++)
		rc = onx_unroll_join(u, k, s.final + k * s.batch, s.batch, 0, false, e);
	for (uint32_t k = 0; rc == ONX_OK && k < s.n_scan; k++)
		rc = onx_unroll_join(u, s.n_state + k, s.slices + k * s.batch, s.batch, 0, false, e);
	return rc;
}
