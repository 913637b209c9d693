/* op/branches.h -- the inputs of ConcatConvLast: X, W, B of each branch; without W what X holds is taken as it is. */
#ifndef ONX_OP_BRANCHES_H
#define ONX_OP_BRANCHES_H

enum { ONX_BRANCHES = 8, ONX_BRANCH_INPUTS = 3 };

#endif
