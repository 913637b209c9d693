/* plan/lower_block.h -- nodes of the graph that one other step replaces; private to plan/. */
#ifndef ONX_LOWER_BLOCK_H
#define ONX_LOWER_BLOCK_H
#include "plan/lower.h"

struct onx_swap {
	const char *domain, *type;
	uint32_t end;                   /* the last node replaced: the step stands there and has its output */
	uint32_t in[4], n_in;           /* values as in the file */
	struct onx_file_attr attr[3]; size_t n_attr;
	float par[2];                   /* what an attribute points to */
};

/* lower_block.c, lower_heads.c: find them.  Nodes that a chain has are left alone. */
int onx_lower_blocks(struct onx_lower *l, struct onx_err *e) ONX_MUST;
int onx_lower_heads(struct onx_lower *l, uint32_t softmax, struct onx_err *e) ONX_MUST;

/* Does the node run, belong to nothing yet, and have this type of the default domain? */
bool onx_swap_is(const struct onx_lower *l, uint32_t id, const char *type);
/* The node that makes v, if it is such a one; else NULL. */
const struct onx_node *onx_swap_maker(const struct onx_lower *l, uint32_t v, const char *type, uint32_t *id);
/* The nodes that run and read v, each once; UINT32_MAX if they are more than `most` or v is asked for. */
uint32_t onx_swap_readers(const struct onx_lower *l, uint32_t v, uint32_t *to, uint32_t most);
/* The only one; ONX_NONE. */
uint32_t onx_swap_reader(const struct onx_lower *l, uint32_t v);
/* A constant of one number. */
bool onx_swap_number(const struct onx_lower *l, uint32_t v, double *to);
/* The other of a node's two inputs. */
uint32_t onx_swap_other(const struct onx_node *n, uint32_t v);
/* `inner` are replaced too (ONX_NONE: skipped).  NULL: no memory. */
struct onx_swap *onx_swap_new(struct onx_lower *l, const char *domain, const char *type, uint32_t end,
			      const uint32_t *in, uint32_t n_in, const uint32_t *inner, uint32_t n_inner);

#endif
