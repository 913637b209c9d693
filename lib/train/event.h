/* train/event.h -- the run as a log: one JSON object a line, the only contract between training and reports.
 *
 *   {"event":"start","epochs":..,"steps":..,"batch":..,"lr":..,"weights":..,"peak_bytes":..,"cached":[..]}
 *   {"event":"step","step":1,"epoch":1,"loss":..,"lr":..,"samples":32}
 *   {"event":"epoch","epoch":1,"loss":..,"accuracy":..,"val_loss":..,"val_accuracy":..,"seconds":..,"best":true}
 *   {"event":"end","epochs":..,"best_epoch":..,"val_accuracy":..,"seconds":..,"stopped":false}
 */
#ifndef ONX_EVENT_H
#define ONX_EVENT_H
#include "base/err.h"
#include "base/json.h"

struct onx_events { int fd; };                  /* fd < 0: nobody listens */
int onx_events_open(struct onx_events *v, const char *path, bool append, struct onx_err *e) ONX_MUST;
/* Prints and frees the object. */
int onx_events_put(struct onx_events *v, struct onx_json *object, struct onx_err *e) ONX_MUST;
int onx_events_close(struct onx_events *v, struct onx_err *e) ONX_MUST;

#endif
