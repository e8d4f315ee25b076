/* What goes several ways: branches, ways past a chain, and the sums where they meet. */
#ifndef BACKPROP_CONTAINERS_H
#define BACKPROP_CONTAINERS_H

#include "real.h"

/* a = x + y: the two ways of a residual block, or of branches that are added up. */
INLINED void sum_of_two(int n, const real *restrict x, const real *restrict y, real *restrict a)
{
    for (int i = 0; i < n; i++)
        a[i] = x[i] + y[i];
}

#endif
