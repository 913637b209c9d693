/* train/sched.h -- the learning rate as a function of the step. */
#ifndef ONX_SCHED_H
#define ONX_SCHED_H
#include <stdint.h>
#include "train/config.h"

/* Rate of step `step` (from 0) of `total`, `per_epoch` steps an epoch, peak rate `lr`.
 *   constant  lr
 *   step      lr * gamma^(epoch / step_epochs)
 *   cosine    from lr to lr*min_lr along half a cosine (Loshchilov and Hutter, 2017)
 *   onecycle  from lr/25 up to lr over the first 30 %, then down to lr/250000, both along a cosine
 *             (Smith and Topin, 2018; the numbers are PyTorch's OneCycleLR)
 * Each but onecycle, which has its own, begins with `warmup` epochs of linear rise. */
double onx_rate(const struct onx_train_opts *o, double lr, uint64_t step, uint64_t total, uint64_t per_epoch);

#endif
