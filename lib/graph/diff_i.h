/* graph/diff_i.h -- private to diff.c, diffnode.c, diffpair.c, difftext.c and diffweight.c. */
#ifndef ONX_DIFF_I_H
#define ONX_DIFF_I_H
#include "base/names.h"
#include "graph/diff.h"

struct onx_differ {
	const struct onx_model *a, *b;
	const struct onx_diff_options *o;
	struct onx_diff *d;
	struct onx_arena scratch;
	bool lost;                      /* memory ran out somewhere: one fault at the end */
};

/* Appends a difference; texts are copied. */
void onx_diff_add(struct onx_differ *x, enum onx_diff_place place, enum onx_diff_what what,
		  const char *name, const char *field, const char *a, const char *b);

/* Pairs what has the same key, is alone with it on its side and not paired yet: pa[i] is the
 * partner in b or ONX_NONE, pb the other way round.  A key "" or NULL pairs with nothing. */
void onx_diff_pair(struct onx_differ *x, const char *const *ka, size_t na, const char *const *kb,
		   size_t nb, uint32_t *pa, uint32_t *pb);
/* A table of n ONX_NONE in scratch memory. */
uint32_t *onx_diff_table(struct onx_differ *x, size_t n);

/* How one of a list reads. */
typedef const char *onx_diff_reads(struct onx_differ *x, const void *list, size_t i);
/* Lists those that found no partner. */
void onx_diff_unpaired(struct onx_differ *x, enum onx_diff_place place, enum onx_diff_what what,
		       const char *const *name, const uint32_t *pair, size_t n, onx_diff_reads *how,
		       const void *list);
/* Lists the first of a whose partner comes before the partner of one before it. */
void onx_diff_order(struct onx_differ *x, enum onx_diff_place place, const char *const *name,
		    const uint32_t *pa, size_t n);
/* Lists a field that reads differently on either side. */
void onx_diff_texts(struct onx_differ *x, enum onx_diff_place place, const char *name,
		    const char *field, const char *a, const char *b);
const char *onx_diff_number(struct onx_differ *x, int64_t v);

int onx_diff_nodes(struct onx_differ *x, const struct onx_file_graph *a,
		   const struct onx_file_graph *b, struct onx_err *e) ONX_MUST;

/* diffweight.c: compares two weights, counts them and lists the pair if it differs. */
int onx_diff_weight(struct onx_differ *x, const char *name, const struct onx_weight *a,
		    const struct onx_weight *b, struct onx_err *e) ONX_MUST;
/* *same: one type, one shape, the same elements. */
int onx_diff_weight_same(struct onx_differ *x, const struct onx_weight *a,
			 const struct onx_weight *b, bool *same, struct onx_err *e) ONX_MUST;

/* difftext.c: how things read. Texts live in scratch memory, never NULL. */
const char *onx_diff_names_text(struct onx_differ *x, const char *const *v, size_t n);
const char *onx_diff_value_text(struct onx_differ *x, const struct onx_file_value *v);
const char *onx_diff_weight_text(struct onx_differ *x, const struct onx_weight *w);
const char *onx_diff_attr_text(struct onx_differ *x, const struct onx_file_attr *v);

#endif
