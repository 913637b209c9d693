/* rewrite/head.h -- a classifier for other classes.
 *
 * onx_head_find walks back from an output through what only reshapes or normalises (Softmax, Flatten,
 * Reshape, pooling, ...) to the last Gemm, MatMul (+Add) or 1x1 Conv with constant weights.  onx_head gives
 * it new weights for N classes, in the type and form that the file has (fp16 stays fp16, a transposed weight
 * stays transposed), named after the old ones with "_head"; adapts Reshape shapes that hold the number of
 * classes; declares the new output shapes.  A last Softmax stays in the file and the mark onnx_adapt.logits
 * names the tensor in front of it.  With `layers` or `cut_at` the head is made of new nodes instead.
 *
 * Marks set: head, logits, labels, task, and (if there was one) train, which gains the new weights. */
#ifndef ONX_HEAD_H
#define ONX_HEAD_H
#include "base/buf.h"
#include "base/field.h"
#include "graph/graph.h"

enum onx_head_init { ONX_INIT_KAIMING, ONX_INIT_XAVIER, ONX_INIT_NORMAL, ONX_INIT_ZERO };
struct onx_head_opts {
	int64_t classes;                /* 0: by labels                                               */
	const char *labels;             /* file: one name a line, or "index,names"                    */
	const char *extend;             /* the same; keeps the old classes and adds these              */
	int64_t outputs;                /* regression with so many numbers; 0: classification          */
	const char *cut_at;             /* tensor behind which the new head begins                     */
	const char *layers;             /* rewrite/layers.h                                            */
	const char *input;              /* 'x:float:Nx1x28x28': a whole network from nothing           */
	bool keep_outputs;              /* other outputs of the graph stay, and the old one with a new head */
	struct onx_strs swap;           /* OP=OP                                                      */
	int init;                       /* enum onx_head_init                                         */
	int64_t seed;
};
extern const struct onx_table onx_head_table;

struct onx_head {
	uint32_t output;                /* of the graph                                               */
	uint32_t node;                  /* Gemm, MatMul or Conv                                       */
	uint32_t weight, bias;          /* constants, or made from them by DequantizeLinear; bias may be ONX_NONE */
	uint32_t weight_shape;          /* constant shape of a Reshape between weight and node, or ONX_NONE */
	int weight_axis;                /* of the stored weight: where the classes are                */
	int64_t classes, features;      /* features: numbers that one class weighs (fan-in)           */
	uint32_t x;                     /* what the node reads                                        */
	uint32_t y;                     /* its output, bias added                                     */
	uint32_t logits;                /* in front of a last Softmax or Sigmoid, else the output     */
	uint32_t behind[32]; int n_behind;      /* nodes from y to the output, last one first          */
	uint32_t made[2]; int n_made;   /* weight and bias, where DequantizeLinear makes them             */
	bool pairs;                     /* QuantizeLinear and DequantizeLinear are among `behind`          */
};

/* The one classifier of the graph; none, or several, is a fault that names what there is. */
int onx_head_find(const struct onx_graph *g, struct onx_head *h, struct onx_err *e) ONX_MUST;
/* rewrite/headfloat.c: the classifier h of g and what is behind it in float numbers, where they are not; find it
 * anew then. */
int onx_head_float(struct onx_graph *g, const struct onx_head *h, struct onx_buf *log, struct onx_err *e) ONX_MUST;
/* Replaces it in g, and sets the marks of its model. */
int onx_head(struct onx_graph *g, const struct onx_head_opts *o, struct onx_buf *log, struct onx_err *e) ONX_MUST;

/* rewrite/labels.c: class names of a file. */
int onx_labels_read(const char *path, struct onx_arena *a, const char *const **v, size_t *n, struct onx_err *e)
	ONX_MUST;

/* rewrite/init.c: numbers for a new weight in memory form (float, or double for DOUBLE), a function of the
 * seed and the name.  kaiming: PyTorch's default for Linear and Conv, U(-b, b) with b = 1/sqrt(fan_in) (also
 * for the bias: is_bias); xavier: U(-b, b) with b = sqrt(6/(fan_in+fan_out)); normal: sd 0.01; biases of the
 * last two and of zero are 0. */
struct onx_init { int kind; int64_t seed; double fan_in, fan_out; bool is_bias; };
int onx_init_fill(struct onx_arena *a, const struct onx_init *how, const char *name, enum onx_dtype type, size_t n,
		  void **out, struct onx_err *e) ONX_MUST;

/* rewrite/shapes.c: declared shapes of outputs and value_info as they are now; symbolic dims stay. */
int onx_redeclare(struct onx_graph *g, struct onx_err *e) ONX_MUST;

#endif
