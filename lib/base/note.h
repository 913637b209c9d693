/* base/note.h -- what the library has to tell while it works.
 * lib/ never prints.  Warnings and chatter go through this callback to whoever holds the terminal. */
#ifndef ONX_NOTE_H
#define ONX_NOTE_H

enum onx_level { ONX_INFO, ONX_WARN };
struct onx_note { void (*say)(void *ctx, enum onx_level level, const char *line); void *ctx; };

/* n may be NULL: silence. */
__attribute__((format(printf, 3, 4)))
void onx_say(const struct onx_note *n, enum onx_level level, const char *fmt, ...);

#endif
