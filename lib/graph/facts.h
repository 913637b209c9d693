/* graph/facts.h -- types, shapes and known numbers of every value, for given input sizes.
 *
 * Inference here is concrete: each graph input is bound to a shape, every operator's rule runs once in
 * order, and whatever depends on constants alone is computed on the way (constant folding), so that
 * shape arithmetic -- Shape, Gather, Concat, Reshape -- is settled like anything else.  What is
 * symbolic about a model is found by asking twice (graph/probe.h).
 *
 * Facts are the base of a plan: they say which nodes still have to run, with which attributes, in
 * which precision, and hold what each operator's infer left for its kernels. */
#ifndef ONX_FACTS_H
#define ONX_FACTS_H
#include "base/note.h"
#include "graph/consts.h"
#include "graph/graph.h"

/* A value that is supplied from outside: a graph input, or any value inside (then what is upstream of
 * it is not looked at).  `known`: its numbers, if they are known now; in memory form. */
struct onx_feed {
	uint32_t value;
	struct onx_shape shape;
	enum onx_dtype type;            /* ONX_UNDEFINED: as declared in the graph            */
	const struct onx_view *known;
};

/* What a node with bodies does in one run: If the body that it takes, Loop and the like the number of turns.
 * turn[t][node]: what the nodes of the body do in turn t; turn NULL: no body has nodes with bodies. */
struct onx_decision {
	uint32_t body;
	size_t turns;
	const struct onx_decision *const **turn;
};
/* Where the interpreter writes down what was decided; both belong to the caller. */
struct onx_decisions { struct onx_arena *mem; const struct onx_decision **by_node; };

struct onx_facts_want {
	const struct onx_feed *feed;    uint32_t n_feed;
	const uint32_t *target;         uint32_t n_target;      /* none: the outputs of the graph, and unless
					   `evaluate` without those that are sequences or maps     */
	const bool *variable;           /* by value: constants whose numbers will change (weights in
					   training, running statistics); NULL: none              */
	const bool *train;              /* by node: runs in training mode; NULL: none             */
	bool wide;                      /* real numbers are double                                */
	bool evaluate;                  /* compute every value now (all feeds known): interpreter */
	const struct onx_decision *const *told;         /* by node: what is decided whatever the numbers are;
					   NULL: nothing                                          */
	const struct onx_decisions *record;     /* with evaluate: is told what was decided; then no statistics of a
					   batch may be on the way there                          */
	uint64_t seed, step;            /* with evaluate: what random nodes draw by, as in exec/exec.h */
	bool inside;                    /* of a body: then onx_draw_inside takes these              */
	uint64_t draw, turn;
	bool training;                  /* of a body: its nodes run in training mode               */
	bool guess;                     /* what is decided by numbers that are not known: the first body of an If,
					   one turn of a Loop                                      */
	bool sizes;                     /* types and shapes are all that is asked: large constants are not looked at
					   where that will do, and what depends on them is not computed   */
	bool partial;                   /* what works on numbers that are not known, and what is behind it, is left
					   out: no type, no infer                                  */
	struct onx_pool *pool;
	const struct onx_note *note;    /* with evaluate: is told when a loop takes long; or NULL      */
};

struct onx_facts {
	struct onx_arena arena;
	const struct onx_graph *g;
	struct onx_fact *fact;          /* by value; type ONX_UNDEFINED: not needed, not looked at    */
	struct onx_infer **infer;       /* by node; NULL: not needed                                  */
	bool *run;                      /* by node: must run (needed, and not folded into a constant) */
	bool *wide;                     /* by node: runs the double row                               */
	const struct onx_view **unknown;        /* by value: what stands for it in sequences, or NULL       */
	bool *guessed;                  /* by node: it, or one in its bodies, was guessed              */
	bool any_guess;
	bool *asked, any_asked;         /* by node, partial: left out, though all that it reads was there      */
	struct onx_err other;           /* partial and guess: the first fault that is no matter of numbers */
	uint32_t *target; uint32_t n_target;
	bool *variable;                 /* by value, copied                                           */
};

/* All that a fault says is prefixed by the node it came from. */
int onx_facts_make(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *w,
		   struct onx_facts **out, struct onx_err *e) ONX_MUST;
void onx_facts_free(struct onx_facts *f);

/* graph/front.c: what can be planned of a graph that cannot: the values that the rest of it, and who asks for the
 * targets, reads of the part of which everything is known but the numbers; *n may be 0.  It lives in the arena. */
int onx_front(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *w, struct onx_arena *a,
	      uint32_t **front, uint32_t *n, struct onx_err *e) ONX_MUST;

/* graph/bind.c: feeds for all graph inputs with `batch` samples.  Dim 0 of every input of rank >= 1 is
 * the batch (also where the file has 1 baked in, if `rebatch`); other open dims get `size` (or a default
 * when 0: 224 where a picture is expected, else 1). */
int onx_bind_inputs(const struct onx_graph *g, int64_t batch, int64_t size, bool rebatch,
		    struct onx_arena *a, struct onx_feed **feed, uint32_t *n, struct onx_err *e) ONX_MUST;

#endif
