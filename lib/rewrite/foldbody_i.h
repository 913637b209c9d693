/* rewrite/foldbody_i.h -- what foldbody.c and foldbody_known.c share: names in scopes, which of them are constant. */
#ifndef ONX_FOLDBODY_I_H
#define ONX_FOLDBODY_I_H
#include "graph/facts.h"

struct onx_fold_def {                   /* of a name */
	struct onx_fold_scope *in;
	const struct onx_file_node *node;       /* NULL: an initializer or an input       */
	const struct onx_weight *init;
	bool known;                     /* by constants alone                             */
	bool taken;                     /* into what is computed now                      */
	bool read, needed, held;        /* before; now; by bodies and functions, whose names stay */
	const struct onx_view *value;   /* where it was computed                          */
	double bytes;
};
struct onx_fold_scope {
	struct onx_fold_scope *up;
	struct onx_file_graph f;
	const struct onx_file_function *fn;     /* whose nodes these are, or NULL         */
	const struct onx_file_call *call;       /* says what a function imports, or NULL  */
	struct onx_names names;
	struct onx_fold_def *def;
	size_t n_def;
	bool changed;
};
struct onx_fold {
	struct onx_model *m;
	struct onx_arena mem;
	uint32_t n;                     /* nodes that went out */
};

struct onx_fold_trial {
	struct onx_graph *g;
	struct onx_consts consts;
	struct onx_facts *facts;
	struct onx_file_graph f;
	struct onx_fold_def **part; size_t n;    /* one for each node or initializer; takes them in */
};

static inline int onx_fold_nomem(struct onx_err *e)
{
	return onx_nomem(e, sizeof(struct onx_fold_def), "constants");
}

/* What a name is: of this scope alone, or of those around it, too; NULL: not made there. */
struct onx_fold_def *onx_fold_own(const struct onx_fold_scope *s, const char *name);
struct onx_fold_def *onx_fold_find(const struct onx_fold_scope *s, const char *name);
/* What the scope imports of a domain; 0: nothing. */
int64_t onx_fold_version(const struct onx_fold *x, const struct onx_fold_scope *s, const char *domain);
bool onx_fold_is_constant(const struct onx_file_node *n);      /* a Constant node? */
/* From constants alone, by an operator that always gives the same? */
bool onx_fold_known(const struct onx_fold *x, const struct onx_fold_scope *s, const struct onx_file_node *n);
/* The names of a scope, def and names; a file's nodes stand behind what they read. */
int onx_fold_define(struct onx_fold *x, struct onx_fold_scope *s, struct onx_err *e) ONX_MUST;
/* Values and sizes of n defs of one scope by these names, and of what they are made of; to be forgotten in any case,
 * and the values with it. */
int onx_fold_compute(struct onx_fold *x, struct onx_fold_trial *t, struct onx_fold_def *const *want,
		     const char *const *name, size_t n, struct onx_err *e) ONX_MUST;
void onx_fold_forget(struct onx_fold_trial *t);

#endif
