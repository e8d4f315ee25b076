/* BP1: where the way back starts. Of a cost and its canonical activation that is delta, else dC/da;
 * the 1/B of the mean is in it. All arrays are n x m, m being the batch, times steps or places. */
#ifndef BACKPROP_COSTS_H
#define BACKPROP_COSTS_H

#include "elementary.h"

/* The targets of labels: 1 in the row of its class, or, smoothed, a little everywhere. A label of
 * -1 is a step that does not count: its column is 0. */
INLINED void one_hot(int n, int m, real smoothing, const int32_t *labels, real *restrict y)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) {
            const real hot = labels[j] == i ? 1 : 0;
            y[i * m + j] = labels[j] < 0 ? 0 : (1 - smoothing) * hot + smoothing / n;
        }
}

INLINED void smoothed(int size, int n, real smoothing, real *restrict y)
{
    for (int i = 0; i < size; i++)
        y[i] = (1 - smoothing) * y[i] + smoothing / n;
}

/* What costs nothing goes back as nothing. */
INLINED void without_padding(int n, int m, const int32_t *labels, real *restrict delta)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++)
            delta[i * m + j] = labels[j] < 0 ? 0 : delta[i * m + j];
}

/* (a - y) times a factor: of the quadratic cost 1/B, of the sum of squares 2/B, of their mean over
 * the outputs 2/(n B); and delta of both cross-entropies, below sigmoid and softmax, with 1/B. */
INLINED void difference(int size, real factor, const real *restrict a, const real *restrict y,
                        real *restrict start)
{
    for (int i = 0; i < size; i++)
        start[i] = (a[i] - y[i]) * factor;
}

/* y / a, which is 0 where y is 0, whatever a. */
INLINED real ratio(real y, real a) { return y != 0 ? y / a : 0; }

INLINED void cross_entropy_gradient(int size, real factor, const real *restrict a,
                                    const real *restrict y, real *restrict start)
{
    for (int i = 0; i < size; i++)
        start[i] = (ratio(1 - y[i], 1 - a[i]) - ratio(y[i], a[i])) * factor;
}

INLINED void softmax_cross_entropy_gradient(int size, real factor, const real *restrict a,
                                            const real *restrict y, real *restrict start)
{
    for (int i = 0; i < size; i++)
        start[i] = -ratio(y[i], a[i]) * factor;
}

/* Every column, or step, times its weight. */
INLINED void weighted(int n, int m, const real *restrict w, real *restrict start)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++)
            start[i * m + j] *= w[j];
}

INLINED int is_finite(int size, const real *start)
{
    const bits sum = bits_of(sum_of(size, start)) & ~SIGN; /* isfinite, whatever the options */
    return sum < (bits)(2 * EXPONENT_OF_1 + 1) << MANTISSA;
}

#endif
