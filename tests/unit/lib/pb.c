#include "unit/lib/pb.h"
#include <string.h>

void pb_raw_varint(struct onx_buf *b, uint64_t v)
{
	do {
		const uint8_t c = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		onx_buf_add(b, &c, 1);
		v >>= 7;
	} while (v);
}

void pb_int(struct onx_buf *b, unsigned field, uint64_t v)
{
	pb_raw_varint(b, (uint64_t)field << 3);
	pb_raw_varint(b, v);
}

void pb_bytes(struct onx_buf *b, unsigned field, const void *p, size_t n)
{
	pb_raw_varint(b, (uint64_t)field << 3 | 2);
	pb_raw_varint(b, n);
	onx_buf_add(b, p, n);
}

void pb_str(struct onx_buf *b, unsigned field, const char *s)
{
	pb_bytes(b, field, s, strlen(s));
}

void pb_float(struct onx_buf *b, unsigned field, float v)
{
	pb_raw_varint(b, (uint64_t)field << 3 | 5);
	onx_buf_add(b, &v, 4);
}

void pb_msg(struct onx_buf *b, unsigned field, struct onx_buf *sub)
{
	pb_bytes(b, field, sub->data ? sub->data : "", sub->len);
	onx_buf_release(sub);
	*sub = (struct onx_buf){ 0 };
}

void pb_entry(struct onx_buf *b, unsigned field, const char *key, const char *value)
{
	struct onx_buf e = { 0 };
	pb_str(&e, 1, key);
	pb_str(&e, 2, value);
	pb_msg(b, field, &e);
}

struct onx_buf pb_tensor(const char *name, int type, const int64_t *dim, size_t rank)
{
	struct onx_buf t = { 0 };

	for (size_t i = 0; i < rank; i++)
		pb_int(&t, 1, (uint64_t)dim[i]);
	pb_int(&t, 2, (uint64_t)type);
	pb_str(&t, 8, name);
	return t;
}

struct onx_buf pb_model(struct onx_buf *graph)
{
	return pb_model_of(graph, 17);
}

struct onx_buf pb_model_of(struct onx_buf *graph, uint64_t version)
{
	struct onx_buf m = { 0 }, opset = { 0 };

	pb_int(&m, 1, 8);
	pb_msg(&m, 7, graph);
	pb_str(&opset, 1, "");
	pb_int(&opset, 2, version);
	pb_msg(&m, 8, &opset);
	return m;
}

static void value(struct onx_buf *g, unsigned field, const char *name, int64_t dim)
{
	struct onx_buf v = { 0 }, type = { 0 }, tensor = { 0 }, shape = { 0 }, d = { 0 };

	pb_str(&d, 2, "N");
	pb_str(&d, 3, "DATA_BATCH");
	pb_msg(&shape, 1, &d);
	pb_int(&d, 1, (uint64_t)dim);
	pb_msg(&shape, 1, &d);
	pb_int(&tensor, 1, 1);
	pb_msg(&tensor, 2, &shape);
	pb_msg(&type, 1, &tensor);
	pb_str(&v, 1, name);
	pb_msg(&v, 2, &type);
	pb_str(&v, 3, "a value");
	pb_msg(g, field, &v);
}

static void attr(struct onx_buf *n, const char *name, int type, struct onx_buf *content)
{
	struct onx_buf a = { 0 };

	pb_str(&a, 1, name);
	if (content->data)
		onx_buf_add(&a, content->data, content->len);
	onx_buf_release(content);
	*content = (struct onx_buf){ 0 };
	pb_int(&a, 20, (uint64_t)type);
	pb_msg(n, 5, &a);
}

/* A node of another domain with one attribute of each kind. */
static void odd_node(struct onx_buf *g)
{
	struct onx_buf n = { 0 }, c = { 0 }, t;
	const int64_t two[] = { 2 };

	pb_str(&n, 1, "h");
	pb_str(&n, 1, "");
	pb_str(&n, 2, "odd");
	pb_str(&n, 3, "odd one");
	pb_str(&n, 4, "Thing");
	pb_float(&c, 2, 0.5f);
	attr(&n, "f", 1, &c);
	pb_int(&c, 3, (uint64_t)-3);
	attr(&n, "i", 2, &c);
	pb_str(&c, 4, "text");
	attr(&n, "s", 3, &c);
	t = pb_tensor("", 7, two, 1);
	pb_bytes(&t, 7, "\x05\x7f", 2);
	pb_msg(&c, 5, &t);
	attr(&n, "t", 4, &c);
	pb_float(&c, 7, 1.25f);
	pb_float(&c, 7, -2);
	attr(&n, "floats", 6, &c);
	pb_int(&c, 8, 4);
	pb_int(&c, 8, 9);
	attr(&n, "ints", 7, &c);
	pb_str(&c, 9, "a");
	pb_str(&c, 9, "bc");
	attr(&n, "strings", 8, &c);
	pb_str(&n, 6, "doc");
	pb_str(&n, 7, "org.example");
	pb_str(&n, 99, "unknown in a node");
	pb_msg(g, 1, &n);
}

static void if_node(struct onx_buf *g)
{
	struct onx_buf n = { 0 }, sub = { 0 }, in = { 0 }, c = { 0 };

	pb_str(&in, 1, "h");
	pb_str(&in, 2, "inner");
	pb_str(&in, 4, "Relu");
	pb_msg(&sub, 1, &in);
	pb_str(&sub, 2, "branch");
	value(&sub, 12, "inner", 4);
	pb_str(&n, 1, "cond");
	pb_str(&n, 2, "y");
	pb_str(&n, 4, "If");
	pb_msg(&c, 6, &sub);
	attr(&n, "then_branch", 5, &c);
	pb_msg(g, 1, &n);
}

struct onx_buf pb_zoo(void)
{
	static const float w[] = { 1, 2, 3, 4, 5, 6, 7, 8 }, b[] = { -1, 1 };
	const int64_t wd[] = { 4, 2 }, bd[] = { 2 };
	struct onx_buf g = { 0 }, n = { 0 }, t, m, f = { 0 };

	pb_str(&n, 1, "x");
	pb_str(&n, 1, "w");
	pb_str(&n, 1, "b");
	pb_str(&n, 2, "h");
	pb_str(&n, 3, "fc");
	pb_str(&n, 4, "Gemm");
	pb_msg(&g, 1, &n);
	odd_node(&g);
	if_node(&g);
	pb_str(&g, 2, "zoo");
	t = pb_tensor("w", 1, wd, 2);
	pb_bytes(&t, 9, w, sizeof w);
	pb_msg(&g, 5, &t);
	t = pb_tensor("b", 1, bd, 1);
	pb_bytes(&t, 4, b, sizeof b);
	pb_str(&t, 98, "unknown in a tensor");
	pb_msg(&g, 5, &t);
	value(&g, 11, "x", 4);
	value(&g, 12, "y", 2);
	value(&g, 13, "h", 2);
	value(&g, 13, "odd", 2);
	m = pb_model(&g);
	pb_entry(&m, 14, "author", "nobody");
	pb_str(&f, 1, "fn");
	pb_str(&f, 4, "p");
	pb_msg(&m, 25, &f);
	pb_str(&m, 97, "unknown in the model");
	return m;
}
