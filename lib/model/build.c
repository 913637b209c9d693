/* model/build.c -- messages for what a rewrite made or changed.  What is equal to what an old
 * message says keeps that message, with all that we do not know about in it. */
#include "model/model_i.h"
#include <string.h>

static char *text(struct onx_arena *a, const char *s, bool *lost)
{
	char *copy = onx_dup(a, s ? s : "");
	*lost |= copy == NULL;
	return copy;
}

static char **texts(struct onx_arena *a, const char *const *s, size_t n, bool *lost)
{
	char **v = ONX_NEWS(a, char *, n + 1);

	*lost |= v == NULL;
	for (size_t i = 0; v && i < n; i++)
		v[i] = text(a, s[i], lost);
	return v;
}

static void *copy(struct onx_arena *a, const void *p, size_t n, size_t size, bool *lost)
{
	void *v = onx_alloc(a, n ? n : 1, size);

	*lost |= v == NULL;
	if (v && n)
		memcpy(v, p, n * size);
	return v;
}

/* --- attributes ------------------------------------------------------------------------------- */

static bool same_strings(const struct onx_file_attr *v, const Onnx__AttributeProto *p)
{
	if (v->n != p->n_strings)
		return false;
	for (size_t i = 0; i < v->n; i++) {
		const size_t n = strlen(v->strings[i]);
		if (n != p->strings[i].len ||
		    (n && memcmp(v->strings[i], p->strings[i].data, n) != 0))
			return false;
	}
	return true;
}

/* Whether the message already says what the view says. */
static bool same_attr(const struct onx_file_attr *v, const Onnx__AttributeProto *p)
{
	if (p->has_type ? (int)p->type != (int)v->type : v->type != ONX_ATTR_NONE)
		return false;
	if (strcmp(onx_or_empty(v->ref), onx_or_empty(p->ref_attr_name)) != 0)
		return false;
	switch (v->type) {
	case ONX_ATTR_FLOAT:
		return !memcmp(&v->f, &p->f, sizeof v->f);
	case ONX_ATTR_INT:
		return v->i == p->i;
	case ONX_ATTR_STRING:
		return v->s_len == p->s.len && (!v->s_len || !memcmp(v->s, p->s.data, v->s_len));
	case ONX_ATTR_TENSOR:
		return v->tensor && v->tensor->proto == p->t;
	case ONX_ATTR_GRAPH:
		return v->graph && v->graph->proto == p->g;
	case ONX_ATTR_FLOATS:
		return v->n == p->n_floats &&
		       (!v->n || !memcmp(v->floats, p->floats, v->n * sizeof *v->floats));
	case ONX_ATTR_INTS:
		return v->n == p->n_ints &&
		       (!v->n || !memcmp(v->ints, p->ints, v->n * sizeof *v->ints));
	case ONX_ATTR_STRINGS:
		return same_strings(v, p);
	default:
		return true; /* kinds whose contents views do not show are never edited */
	}
}

static void fill_strings(struct onx_arena *a, const struct onx_file_attr *v,
			 Onnx__AttributeProto *p, bool *lost)
{
	char **s = texts(a, v->strings, v->n, lost);

	p->strings = ONX_NEWS(a, ProtobufCBinaryData, v->n + 1);
	*lost |= p->strings == NULL;
	for (size_t i = 0; !*lost && i < v->n; i++)
		p->strings[i] = (ProtobufCBinaryData){ strlen(s[i]), (uint8_t *)s[i] };
	p->n_strings = v->n;
}

static int fill_attr(struct onx_arena *a, const struct onx_file_attr *v, Onnx__AttributeProto *p,
		     struct onx_err *e)
{
	bool lost = false;

	switch (v->type) {
	case ONX_ATTR_FLOAT:
		p->has_f = 1;
		p->f = v->f;
		break;
	case ONX_ATTR_INT:
		p->has_i = 1;
		p->i = v->i;
		break;
	case ONX_ATTR_STRING: {
		const size_t n = v->s_len ? v->s_len : strlen(onx_or_empty(v->s));
		p->has_s = 1;
		p->s = (ProtobufCBinaryData){ n, (uint8_t *)onx_dupn(a, onx_or_empty(v->s), n) };
		lost = p->s.data == NULL;
		break;
	}
	case ONX_ATTR_TENSOR:
		p->t = v->tensor ? v->tensor->proto : NULL;
		break;
	case ONX_ATTR_GRAPH:
		p->g = v->graph ? v->graph->proto : NULL;
		break;
	case ONX_ATTR_FLOATS:
		p->floats = copy(a, v->floats, v->n, sizeof *v->floats, &lost);
		p->n_floats = v->n;
		break;
	case ONX_ATTR_INTS:
		p->ints = copy(a, v->ints, v->n, sizeof *v->ints, &lost);
		p->n_ints = v->n;
		break;
	case ONX_ATTR_STRINGS:
		fill_strings(a, v, p, &lost);
		break;
	default:
		return onx_fail(e, ONX_UNSUP, "attribute '%s': a new one of kind %d cannot be made",
				v->name, (int)v->type);
	}
	if ((v->type == ONX_ATTR_TENSOR && !p->t) || (v->type == ONX_ATTR_GRAPH && !p->g))
		return onx_fail(e, ONX_UNSUP, "attribute '%s' has no message behind it", v->name);
	return lost ? onx_nomem(e, 64, "an attribute") : ONX_OK;
}

static int build_attr(struct onx_arena *a, const struct onx_file_attr *v,
		      Onnx__AttributeProto **out, struct onx_err *e)
{
	Onnx__AttributeProto *p = ONX_NEW(a, Onnx__AttributeProto);

	if (!p)
		return onx_nomem(e, sizeof *p, "an attribute");
	onnx__attribute_proto__init(p);
	p->name = onx_dup(a, v->name);
	p->ref_attr_name = onx_dup(a, v->ref);
	p->has_type = 1;
	p->type = (Onnx__AttributeProto__AttributeType)v->type;
	*out = p;
	if (!p->name || (v->ref && !p->ref_attr_name))
		return onx_nomem(e, 64, "an attribute");
	return v->ref ? ONX_OK : fill_attr(a, v, p, e);
}

/* The attributes of v into p; old messages are looked up by name. */
static int set_attrs(struct onx_arena *a, const struct onx_file_node *v, Onnx__NodeProto *p,
		     struct onx_err *e)
{
	Onnx__AttributeProto **list = ONX_NEWS(a, Onnx__AttributeProto *, v->n_attr + 1);

	if (!list)
		return onx_nomem(e, (double)v->n_attr * sizeof *list, "attributes");
	for (size_t i = 0; i < v->n_attr; i++) {
		const struct onx_file_attr *x = &v->attr[i];
		for (size_t k = 0; !list[i] && k < p->n_attribute; k++)
			if (!strcmp(onx_or_empty(p->attribute[k]->name), x->name) &&
			    same_attr(x, p->attribute[k]))
				list[i] = p->attribute[k];
		int rc = list[i] ? ONX_OK : build_attr(a, x, &list[i], e);
		if (rc < 0)
			return rc;
	}
	p->attribute = list;
	p->n_attribute = v->n_attr;
	return ONX_OK;
}

/* --- nodes ------------------------------------------------------------------------------------ */

static bool differs(const char *was, const char *is)
{
	return strcmp(onx_or_empty(was), onx_or_empty(is)) != 0;
}

int onx_build_node(struct onx_arena *a, const struct onx_file_node *v, Onnx__NodeProto **out,
		   struct onx_err *e)
{
	Onnx__NodeProto *p = v->proto;
	bool lost = false;

	if (p && !v->changed) {
		*out = p;
		return ONX_OK;
	}
	if (!p) {
		p = ONX_NEW(a, Onnx__NodeProto);
		if (!p)
			return onx_nomem(e, sizeof *p, "a node");
		onnx__node_proto__init(p);
	}
	if (differs(p->name, v->name))
		p->name = text(a, v->name, &lost);
	if (differs(p->op_type, v->type))
		p->op_type = text(a, v->type, &lost);
	if (differs(onx_domain_norm(p->domain), v->domain))
		p->domain = text(a, v->domain, &lost);
	if (differs(p->doc_string, v->doc))
		p->doc_string = text(a, v->doc, &lost);
	p->input = texts(a, v->in, v->n_in, &lost);
	p->n_input = v->n_in;
	p->output = texts(a, v->out, v->n_out, &lost);
	p->n_output = v->n_out;
	*out = p;
	return lost ? onx_nomem(e, 64, "a node") : set_attrs(a, v, p, e);
}

/* --- values ----------------------------------------------------------------------------------- */

static void set_dim(struct onx_arena *a, const struct onx_file_dim *d,
		    Onnx__TensorShapeProto__Dimension *p, bool *lost)
{
	if (d->value >= 0) {
		p->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		p->dim_value = d->value;
	} else if (d->param) {
		p->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
		p->dim_param = text(a, d->param, lost);
	} else {
		p->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
	}
}

/* Dims that were there keep their message, and so their denotation. */
static Onnx__TensorShapeProto *set_shape(struct onx_arena *a, const struct onx_file_value *v,
					 Onnx__TensorShapeProto *p, bool *lost)
{
	const size_t n = (size_t)v->rank, had = p ? p->n_dim : 0;
	Onnx__TensorShapeProto__Dimension **dim =
		ONX_NEWS(a, Onnx__TensorShapeProto__Dimension *, n + 1);

	if (!p) {
		p = ONX_NEW(a, Onnx__TensorShapeProto);
		if (p)
			onnx__tensor_shape_proto__init(p);
	}
	*lost |= !dim || !p;
	for (size_t i = 0; !*lost && i < n; i++) {
		if (i < had) {
			dim[i] = p->dim[i];
		} else {
			dim[i] = ONX_NEW(a, Onnx__TensorShapeProto__Dimension);
			if (dim[i])
				onnx__tensor_shape_proto__dimension__init(dim[i]);
			*lost |= !dim[i];
		}
		if (dim[i])
			set_dim(a, &v->dim[i], dim[i], lost);
	}
	if (!*lost) {
		p->dim = dim;
		p->n_dim = n;
	}
	return p;
}

static void set_type(struct onx_arena *a, const struct onx_file_value *v, Onnx__ValueInfoProto *p,
		     bool *lost)
{
	if (!p->type) {
		p->type = ONX_NEW(a, Onnx__TypeProto);
		if (p->type)
			onnx__type_proto__init(p->type);
	}
	if (p->type && p->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) {
		p->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
		p->type->tensor_type = ONX_NEW(a, Onnx__TypeProto__Tensor);
		if (p->type->tensor_type)
			onnx__type_proto__tensor__init(p->type->tensor_type);
	}
	*lost |= !p->type || !p->type->tensor_type;
	if (*lost)
		return;
	Onnx__TypeProto__Tensor *t = p->type->tensor_type;
	if (v->type != ONX_UNDEFINED) {
		t->has_elem_type = 1;
		t->elem_type = v->type;
	}
	t->shape = v->has_shape ? set_shape(a, v, t->shape, lost) : NULL;
}

int onx_build_value(struct onx_arena *a, const struct onx_file_value *v, Onnx__ValueInfoProto **out,
		    struct onx_err *e)
{
	Onnx__ValueInfoProto *p = v->proto;
	bool lost = false;

	if (p && !v->changed) {
		*out = p;
		return ONX_OK;
	}
	if (!p) {
		p = ONX_NEW(a, Onnx__ValueInfoProto);
		if (!p)
			return onx_nomem(e, sizeof *p, "an input or output");
		onnx__value_info_proto__init(p);
	}
	if (differs(p->name, v->name))
		p->name = text(a, v->name, &lost);
	if (!v->kind || !*v->kind || !strcmp(v->kind, "tensor"))
		set_type(a, v, p, &lost);
	*out = p;
	return lost ? onx_nomem(e, 64, "an input or output") : ONX_OK;
}
