/* op/old.h -- a node of an old opset run by the row of a later one.
 *
 * A rule of old.c opens the later row, fills its attributes, changes what it has for inputs and settles it;
 * onx_old_forward and the others, which the old rows name, hand each call on.  Everything lives in the plan's
 * arena. */
#ifndef ONX_OLD_H
#define ONX_OLD_H
#include "kernel/real.h"
#include "op/infer.h"

/* A node is settled by the float rows and may run in double: what is kept is the place of the later row. */
enum onx_family { ONX_F_BINARY, ONX_F_INTEGER, ONX_F_SHAPE, ONX_F_MOVEMENT, ONX_F_PAD, ONX_F_RESIZE, ONX_F_CAST,
		  ONX_F_POOLING, ONX_F_UNARY };

struct onx_old {
	enum onx_family family;
	int row;
	void *attr;
	struct onx_infer now;
	struct onx_fact in[8];
	const struct onx_view *known;   /* input 1, which the old node has as an attribute or in another form */
	bool aligned;                   /* input 1 under the shape in[1].shape */
};

#define onx_old_open ONX_R(onx_old_open)
#define onx_old_slot ONX_R(onx_old_slot)
#define onx_old_word ONX_R(onx_old_word)
#define onx_old_ints ONX_R(onx_old_ints)
#define onx_old_know ONX_R(onx_old_know)
#define onx_old_settle ONX_R(onx_old_settle)
#define onx_old_forward ONX_R(onx_old_forward)
#define onx_old_backward ONX_R(onx_old_backward)
#define onx_old_saved ONX_R(onx_old_saved)
#define onx_old_scratch ONX_R(onx_old_scratch)

/* The row for `type` at `version`, its attributes at their defaults; s->geo = *out. */
int onx_old_open(struct onx_infer *s, enum onx_family family, const char *type, int version,
		 struct onx_old **out, struct onx_err *e) ONX_MUST;
/* The place of an attribute of the later row; it counts as given. */
void *onx_old_slot(struct onx_old *o, const char *name);
/* An attribute from text (NULL: its default stays); from a list, unless that is empty. */
int onx_old_word(struct onx_old *o, struct onx_infer *s, const char *name, const char *text,
		 struct onx_err *e) ONX_MUST;
void onx_old_ints(struct onx_old *o, const char *name, const struct onx_ints *v);
/* Input 1 of the later row, known while planning. */
int onx_old_know(struct onx_old *o, struct onx_infer *s, const int64_t *v, size_t n, struct onx_err *e) ONX_MUST;
/* The later row's own rule: the last thing. */
int onx_old_settle(struct onx_old *o, struct onx_err *e) ONX_MUST;

void onx_old_forward(const struct onx_call *c);
void onx_old_backward(const struct onx_call *c);
size_t onx_old_saved(const struct onx_infer *s, const void *attr);
size_t onx_old_scratch(const struct onx_infer *s, const void *attr, int threads, bool back);

#endif
