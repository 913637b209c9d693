/* unit/lib/derive.h -- models with a Gradient of ai.onnx.preview.training, node by node. */
#ifndef TEST_DERIVE_H
#define TEST_DERIVE_H
#include "unit/lib/bodies.h"

static inline struct onx_buf model(struct onx_buf *g)
{
	struct onx_buf m = pb_model(g), opset = { 0 };
	pb_str(&opset, 1, "ai.onnx.preview.training");
	pb_int(&opset, 2, 1);
	pb_msg(&m, 8, &opset);
	return m;
}

static inline void attr_names(struct onx_buf *n, const char *name, const char *list)
{
	struct onx_buf a = { 0 };
	pb_str(&a, 1, name);
	words(&a, 9, list);
	pb_int(&a, 20, 8);
	pb_msg(n, 5, &a);
}

/* out = d sum(y) / d xs on the values `in`. */
static inline void gradient(struct onx_buf *g, const char *in, const char *xs, const char *zs, const char *y,
			    const char *out)
{
	struct onx_buf n = node(in, "Gradient", out), a = { 0 };
	pb_str(&n, 7, "ai.onnx.preview.training");
	attr_names(&n, "xs", xs);
	if (*zs)
		attr_names(&n, "zs", zs);
	if (y) {
		pb_str(&a, 1, "y");
		pb_str(&a, 4, y);
		pb_int(&a, 20, 3);
		pb_msg(&n, 5, &a);
	}
	pb_msg(g, 1, &n);
}

static inline void tensor(struct onx_buf *g, const char *name, size_t rank, const int64_t *dim)
{
	struct onx_buf t = pb_tensor(name, REAL, dim, rank);
	size_t n = 1;
	for (size_t i = 0; i < rank; i++)
		n *= (size_t)dim[i];
	for (size_t i = 0; i < n; i++)
		pb_float(&t, 4, (float)((i * 7 + n) % 11) * 0.1F - 0.5F);
	pb_msg(g, 5, &t);
}

static inline double at(struct run *r, const struct net *n, const char *name, size_t i)
{
	return onx_view_real(onx_exec_view(r->exec, onx_graph_find(n->g, name)), i);
}

#endif
