/* model/view.c -- plain structs over the messages.  Lists and texts stay where they were unpacked;
 * the structs are in the model's arena. */
#include "model/model_i.h"
#include <string.h>

const char *onx_domain_norm(const char *domain)
{
	return !domain || !strcmp(domain, "ai.onnx") ? "" : domain;
}

static int view_weight(struct onx_model *m, Onnx__TensorProto *t, const struct onx_weight **out,
		       struct onx_err *e)
{
	const struct onx_ext *x = onx_external_find(m, t);
	return onx_weight_view(&m->arena, t, x, x ? m->data[x->file].base : NULL, out, e);
}

static int view_sparse(struct onx_model *m, const Onnx__SparseTensorProto *t, const struct onx_file_sparse **out,
		       struct onx_err *e)
{
	struct onx_file_sparse *v = ONX_NEW(&m->arena, struct onx_file_sparse);

	if (!v)
		return onx_nomem(e, sizeof *v, "a sparse tensor");
	if (!t->values || !t->indices || t->n_dims > ONX_RANK)
		return onx_fail(e, t->n_dims > ONX_RANK ? ONX_UNSUP : ONX_FORMAT,
				"a sparse tensor of %zu dimensions%s", t->n_dims,
				t->n_dims > ONX_RANK ? "" : " without values or indices");
	v->rank = (int)t->n_dims;
	v->dim = t->dims;
	*out = v;
	int rc = view_weight(m, t->values, &v->values, e);
	return rc < 0 ? rc : view_weight(m, t->indices, &v->indices, e);
}

/* --- attributes ------------------------------------------------------------------------------- */

/* IR 1 and 2 leave the type to be told from what is there. */
static enum onx_attr_type attr_type(const Onnx__AttributeProto *p)
{
	if (p->has_type && p->type != ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED)
		return (int)p->type > 0 && (int)p->type <= ONX_ATTR_TYPE_PROTOS
			       ? (enum onx_attr_type)p->type
			       : ONX_ATTR_NONE;
	const struct { bool there; enum onx_attr_type type; } tries[] = {
		{ p->has_f, ONX_ATTR_FLOAT },
		{ p->has_i, ONX_ATTR_INT },
		{ p->has_s, ONX_ATTR_STRING },
		{ p->t != NULL, ONX_ATTR_TENSOR },
		{ p->g != NULL, ONX_ATTR_GRAPH },
		{ p->n_floats != 0, ONX_ATTR_FLOATS },
		{ p->n_ints != 0, ONX_ATTR_INTS },
		{ p->n_strings != 0, ONX_ATTR_STRINGS },
		{ p->n_tensors != 0, ONX_ATTR_TENSORS },
		{ p->n_graphs != 0, ONX_ATTR_GRAPHS },
		{ p->sparse_tensor != NULL, ONX_ATTR_SPARSE_TENSOR },
		{ p->n_sparse_tensors != 0, ONX_ATTR_SPARSE_TENSORS },
		{ p->tp != NULL, ONX_ATTR_TYPE_PROTO },
		{ p->n_type_protos != 0, ONX_ATTR_TYPE_PROTOS },
	};
	for (size_t i = 0; i < sizeof tries / sizeof *tries; i++)
		if (tries[i].there)
			return tries[i].type;
	return ONX_ATTR_NONE;
}

static const char *bytes_text(const ProtobufCBinaryData *b)
{
	return b->data ? (const char *)b->data : "";    /* a zero byte follows (model_i.h) */
}

static int view_strings(struct onx_model *m, const Onnx__AttributeProto *p, struct onx_file_attr *v,
			struct onx_err *e)
{
	const char **s = ONX_NEWS(&m->arena, const char *, p->n_strings + 1);

	if (!s)
		return onx_nomem(e, (double)p->n_strings * sizeof *s, "a list of strings");
	for (size_t i = 0; i < p->n_strings; i++)
		s[i] = bytes_text(&p->strings[i]);
	v->n = p->n_strings;
	v->strings = s;
	return ONX_OK;
}

static int view_attr(struct onx_model *m, const Onnx__AttributeProto *p, struct onx_file_attr *v,
		     struct onx_err *e)
{
	*v = (struct onx_file_attr){ .name = onx_or_empty(p->name),
				     .type = attr_type(p),
				     .ref = p->ref_attr_name && *p->ref_attr_name ? p->ref_attr_name
										  : NULL };
	switch (v->type) {
	case ONX_ATTR_FLOAT:
		v->f = p->f;
		return ONX_OK;
	case ONX_ATTR_INT:
		v->i = p->i;
		return ONX_OK;
	case ONX_ATTR_STRING:
		v->s = bytes_text(&p->s);
		v->s_len = p->s.len;
		return ONX_OK;
	case ONX_ATTR_FLOATS:
		v->n = p->n_floats;
		v->floats = p->floats;
		return ONX_OK;
	case ONX_ATTR_INTS:
		v->n = p->n_ints;
		v->ints = p->ints;
		return ONX_OK;
	case ONX_ATTR_STRINGS:
		return view_strings(m, p, v, e);
	case ONX_ATTR_TENSOR:
		if (p->t)
			return view_weight(m, p->t, &v->tensor, e);
		break;
	case ONX_ATTR_GRAPH:
		if (p->g)
			return onx_view_graph(m, p->g, &v->graph, e);
		break;
	case ONX_ATTR_TENSORS:
		v->n = p->n_tensors;
		return ONX_OK;
	case ONX_ATTR_GRAPHS:
		v->n = p->n_graphs;
		return ONX_OK;
	case ONX_ATTR_SPARSE_TENSOR:
		if (p->sparse_tensor)
			return view_sparse(m, p->sparse_tensor, &v->sparse, e);
		break;
	case ONX_ATTR_SPARSE_TENSORS:
		v->n = p->n_sparse_tensors;
		return ONX_OK;
	case ONX_ATTR_TYPE_PROTOS:
		v->n = p->n_type_protos;
		return ONX_OK;
	default:
		return ONX_OK;
	}
	if (v->ref)
		return ONX_OK;
	return onx_fail(e, ONX_FORMAT, "attribute '%s' is said to be a %s and holds none", v->name,
			v->type == ONX_ATTR_GRAPH ? "graph" : "tensor");
}

/* --- nodes and values ------------------------------------------------------------------------- */

static int view_node(struct onx_model *m, Onnx__NodeProto *p, struct onx_file_node *v,
		     struct onx_err *e)
{
	struct onx_file_attr *attr = ONX_NEWS(&m->arena, struct onx_file_attr, p->n_attribute + 1);

	if (!attr)
		return onx_nomem(e, (double)p->n_attribute * sizeof *attr,
				 "the attributes of a node");
	*v = (struct onx_file_node){
		.name = onx_or_empty(p->name), .type = onx_or_empty(p->op_type),
		.domain = onx_domain_norm(p->domain), .doc = onx_or_empty(p->doc_string),
		.n_in = p->n_input, .in = (const char *const *)p->input,
		.n_out = p->n_output, .out = (const char *const *)p->output,
		.n_attr = p->n_attribute, .attr = attr, .proto = p,
		.overload = onx_or_empty(p->overload)
	};
	for (size_t i = 0; i < p->n_attribute; i++) {
		int rc = view_attr(m, p->attribute[i], &attr[i], e);
		if (rc < 0)
			return onx_while(e, rc, "reading %s '%s'", v->type,
					 *v->name || !v->n_out ? v->name : v->out[0]);
	}
	return ONX_OK;
}

static int view_shape(struct onx_model *m, const Onnx__TensorShapeProto *s,
		      struct onx_file_value *v, struct onx_err *e)
{
	struct onx_file_dim *d = ONX_NEWS(&m->arena, struct onx_file_dim, s->n_dim + 1);

	if (!d)
		return onx_nomem(e, (double)s->n_dim * sizeof *d, "a shape");
	if (s->n_dim > 1024)
		return onx_fail(e, ONX_FORMAT, "value '%s' has %zu dims", v->name, s->n_dim);
	v->has_shape = true;
	v->rank = (int)s->n_dim;
	v->dim = d;
	for (size_t i = 0; i < s->n_dim; i++) {
		const Onnx__TensorShapeProto__Dimension *p = s->dim[i];
		d[i].value = -1;
		if (p->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
			d[i].value = p->dim_value >= 0 ? p->dim_value : -1;
		else if (p->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM &&
			 p->dim_param && *p->dim_param)
			d[i].param = p->dim_param;
	}
	return ONX_OK;
}

static enum onx_dtype known_type(int32_t t)
{
	return onx_dtype_known(t) ? (enum onx_dtype)t : ONX_UNDEFINED;
}

static int view_value(struct onx_model *m, Onnx__ValueInfoProto *p, struct onx_file_value *v,
		      struct onx_err *e)
{
	const Onnx__TypeProto *t = p->type;

	*v = (struct onx_file_value){ .name = onx_or_empty(p->name), .kind = "", .proto = p };
	if (!t)
		return ONX_OK;
	switch (t->value_case) {
	case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
		v->kind = "tensor";
		v->type = known_type(t->tensor_type->elem_type);
		return t->tensor_type->shape ? view_shape(m, t->tensor_type->shape, v, e) : ONX_OK;
	case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
		v->kind = "sequence";
		break;
	case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
		v->kind = "map";
		break;
	case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
		v->kind = "optional";
		break;
	case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
		v->kind = "sparse_tensor";
		break;
	default:
		break;
	}
	return ONX_OK;
}

static int view_values(struct onx_model *m, Onnx__ValueInfoProto **p, size_t n,
		       const struct onx_file_value **out, struct onx_err *e)
{
	struct onx_file_value *v = ONX_NEWS(&m->arena, struct onx_file_value, n + 1);

	if (!v)
		return onx_nomem(e, (double)n * sizeof *v, "inputs and outputs");
	*out = v;
	for (size_t i = 0; i < n; i++) {
		int rc = view_value(m, p[i], &v[i], e);
		if (rc < 0)
			return rc;
	}
	return ONX_OK;
}

/* --- graphs ----------------------------------------------------------------------------------- */

static int view_nodes(struct onx_model *m, Onnx__GraphProto *g, struct onx_file_graph *v,
		      struct onx_err *e)
{
	struct onx_file_node *node = ONX_NEWS(&m->arena, struct onx_file_node, g->n_node + 1);
	const struct onx_weight **init =
		ONX_NEWS(&m->arena, const struct onx_weight *, g->n_initializer + 1);

	if (!node || !init)
		return onx_nomem(e, (double)g->n_node * sizeof *node, "the nodes");
	v->node = node;
	v->n_node = g->n_node;
	v->init = init;
	v->n_init = g->n_initializer;
	for (size_t i = 0; i < g->n_initializer; i++) {
		int rc = view_weight(m, g->initializer[i], &init[i], e);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < g->n_node; i++) {
		int rc = view_node(m, g->node[i], &node[i], e);
		if (rc < 0)
			return rc;
	}
	return ONX_OK;
}

/* Depth is bounded: the scan of the file let no more than ONX_WIRE_DEPTH messages nest. */
int onx_view_graph(struct onx_model *m, Onnx__GraphProto *g, const struct onx_file_graph **out,
		   struct onx_err *e)
{
	struct onx_file_graph *v = ONX_NEW(&m->arena, struct onx_file_graph);

	if (!v)
		return onx_nomem(e, sizeof *v, "the view of a graph");
	*v = (struct onx_file_graph){ .name = onx_or_empty(g->name),
				      .n_sparse = g->n_sparse_initializer,
				      .n_input = g->n_input,
				      .n_output = g->n_output,
				      .n_info = g->n_value_info,
				      .proto = g };
	*out = v;
	int rc = view_nodes(m, g, v, e);
	if (rc == ONX_OK)
		rc = view_values(m, g->input, g->n_input, &v->input, e);
	if (rc == ONX_OK)
		rc = view_values(m, g->output, g->n_output, &v->output, e);
	if (rc == ONX_OK)
		rc = view_values(m, g->value_info, g->n_value_info, &v->info, e);
	return rc;
}

static int view_opsets(struct onx_model *m, Onnx__OperatorSetIdProto *const *p, size_t n,
		       struct onx_file_opset **out, struct onx_err *e)
{
	struct onx_file_opset *v = ONX_NEWS(&m->arena, struct onx_file_opset, n + 1);

	if (!v)
		return onx_nomem(e, (double)n * sizeof *v, "the opset imports");
	for (size_t i = 0; i < n; i++)
		v[i] = (struct onx_file_opset){ onx_domain_norm(p[i]->domain), p[i]->version };
	*out = v;
	return ONX_OK;
}

int onx_view_opsets(struct onx_model *m, struct onx_err *e)
{
	m->n_opset = m->proto->n_opset_import;
	return view_opsets(m, m->proto->opset_import, m->n_opset, &m->opset, e);
}

static int view_function(struct onx_model *m, Onnx__FunctionProto *p, struct onx_file_function *v,
			 struct onx_err *e)
{
	struct onx_file_node *node = ONX_NEWS(&m->arena, struct onx_file_node, p->n_node + 1);
	struct onx_file_attr *attr = ONX_NEWS(&m->arena, struct onx_file_attr, p->n_attribute_proto + 1);
	struct onx_file_opset *opset;
	int rc = view_opsets(m, p->opset_import, p->n_opset_import, &opset, e);

	if (rc == ONX_OK && (!node || !attr))
		rc = onx_nomem(e, (double)p->n_node * sizeof *node, "a function");
	if (rc < 0)
		return rc;
	*v = (struct onx_file_function){
		.domain = onx_domain_norm(p->domain), .name = onx_or_empty(p->name),
		.overload = onx_or_empty(p->overload), .n_in = p->n_input, .n_out = p->n_output,
		.in = (const char *const *)p->input, .out = (const char *const *)p->output,
		.n_attr = p->n_attribute_proto, .attr = attr, .n_node = p->n_node, .node = node,
		.n_opset = p->n_opset_import, .opset = opset
	};
	for (size_t i = 0; rc == ONX_OK && i < p->n_attribute_proto; i++)
		rc = view_attr(m, p->attribute_proto[i], &attr[i], e);
	for (size_t i = 0; rc == ONX_OK && i < p->n_node; i++)
		rc = view_node(m, p->node[i], &node[i], e);
	return rc < 0 ? onx_while(e, rc, "reading the function '%s'", v->name) : rc;
}

int onx_view_functions(struct onx_model *m, struct onx_err *e)
{
	const size_t n = m->proto->n_functions;
	struct onx_file_function *v = ONX_NEWS(&m->arena, struct onx_file_function, n + 1);
	int rc = v ? ONX_OK : onx_nomem(e, (double)n * sizeof *v, "the functions");

	for (size_t i = 0; rc == ONX_OK && i < n; i++)
		rc = view_function(m, m->proto->functions[i], &v[i], e);
	if (rc == ONX_OK)
		m->function = v;
	return rc;
}
