/* What regularisation adds to the gradient of the weights, and how gradients are clipped. */
#ifndef BACKPROP_REGULARIZERS_H
#define BACKPROP_REGULARIZERS_H

#include <float.h>

#include "real.h"

INLINED void l2(int n, real lambda, const real *restrict w, real *restrict nabla)
{
    for (int i = 0; i < n; i++)
        nabla[i] += 2 * lambda * w[i]; /* dOmega/dw = 2 lambda w */
}

INLINED void l1(int n, real lambda, const real *restrict w, real *restrict nabla)
{
    for (int i = 0; i < n; i++) /* dOmega/dw = lambda sign(w) */
        nabla[i] += w[i] > 0 ? lambda : w[i] < 0 ? -lambda : lambda * w[i];
}

INLINED void clip_by_value(int n, real limit, real *restrict nabla)
{
    for (int i = 0; i < n; i++) {
        nabla[i] = nabla[i] > limit ? limit : nabla[i];
        nabla[i] = nabla[i] < -limit ? -limit : nabla[i];
    }
}

INLINED double squares(int n, double scale, const real *nabla)
{
    double sums[8] = {0}, total = 0;
    for (int i = 0; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            sums[l] += (nabla[i + l] * scale) * (nabla[i + l] * scale);
    for (int i = n / 8 * 8; i < n; i++)
        total += (nabla[i] * scale) * (nabla[i] * scale);
    for (int l = 0; l < 8; l++)
        total += sums[l];
    return total;
}

INLINED void scale(int n, double factor, real *restrict nabla)
{
    for (int i = 0; i < n; i++)
        nabla[i] = (real)(nabla[i] * factor);
}

/* nabla made as long as `most`, if it is longer. Squares that do not fit into double precision are
 * taken relatively to the largest number. */
INLINED void clip_by_norm(int n, double most, real *nabla)
{
    double largest = 0, sum = squares(n, 1, nabla);
    if (DBL_MIN / DBL_EPSILON < sum && sum < DBL_MAX) {
        if (sqrt(sum) > most)
            scale(n, most / sqrt(sum), nabla);
        return;
    }
    for (int i = 0; i < n; i++) {
        const double size = fabs((double)nabla[i]);
        largest = size > largest || size != size ? size : largest;
    }
    if (!(0 < largest && largest <= DBL_MAX))
        return;
    sum = squares(n, 1 / largest, nabla);
    if (most / sqrt(sum) < largest) {
        scale(n, 1 / largest, nabla);
        scale(n, most / sqrt(sum), nabla);
    }
}

#endif
