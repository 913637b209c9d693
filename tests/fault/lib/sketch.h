/* fault/lib/sketch.h -- whole models in a few lines of text, and what becomes of one line when it is changed at random.
 *
 *   opset 17
 *   in x 1 ?,3,8,8                 an input: element type, sizes, ? open
 *   w W 8,3,3,3                    float weights; W:11 of another element type
 *   k shape 2,0,-1                 whole numbers of rank 1, k0: a scalar, b0: one bool
 *   Conv x,W,_ > y | pads:I=1,1,1,1 group:i=1 auto_pad:s=VALID alpha:f=0.5 body:g=1 xs:S=a,b
 *   out y 1
 *   ---                            graph 1, a body
 *
 * Whatever the text, it becomes a file: what cannot be understood is left out. */
#ifndef SKETCH_H
#define SKETCH_H
#include "base/buf.h"
#include "base/rng.h"

enum { SKETCH_LINES = 64, SKETCH_LINE = 300 };
struct sketch { char line[SKETCH_LINES][SKETCH_LINE]; int n; };

void sketch_read(struct sketch *s, const char *text);
/* An ONNX file; false: out of memory. */
bool sketch_bytes(const struct sketch *s, struct onx_buf *file);
/* One change: a word, a number, a name, an attribute or a line, of its own or of `other`. */
void sketch_change(struct sketch *s, const struct sketch *other, struct onx_rng *r);
void sketch_print(const struct sketch *s);

#endif
