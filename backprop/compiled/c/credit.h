/* What an error comes down by in the place of w^T delta: signs of w with other magnitudes.
 *
 * Fixed random weights are given to a program as they are, and an error from the output comes by a
 * product, so that neither needs a function of its own.
 */
#ifndef BACKPROP_CREDIT_H
#define BACKPROP_CREDIT_H

#include "product.h"

/* b = |m| sign(w), sign(0) = 0. */
INLINED void signs_with_magnitudes(int n, double size, const real *restrict m,
                                   const real *restrict w, real *restrict b)
{
    for (int i = 0; i < n; i++) {
        const real magnitude = (real)fabs(size * m[i]);
        b[i] = w[i] > 0 ? magnitude : w[i] < 0 ? -magnitude : 0;
    }
}

#endif
