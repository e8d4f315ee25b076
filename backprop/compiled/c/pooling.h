/* Pooling: every window of a channel becomes one number, as in layers/pooling.py. Padding is never
 * the maximum, and counts as 0 in a mean.
 */
#ifndef BACKPROP_POOLING_H
#define BACKPROP_POOLING_H

#include "maxima.h"

/* mask is NULL, or T x B: which columns are more than padding. */
INLINED void max_pool(const Pool *k, const real *a_prev, const uint8_t *mask, real *a,
                      int32_t *places)
{
    if (mask)
        plain_max_pool(k, a_prev, mask, a, places);
    else
        fast_max_pool(k, a_prev, a, places);
}

INLINED void max_pool_downstream(const Pool *k, const real *nabla_a, const int32_t *places,
                                 real *nabla_a_prev)
{
    if (k->kernel_h == k->stride_h && k->kernel_w == k->stride_w && !k->top && !k->left
        && k->rows * k->kernel_h <= k->height && k->columns * k->kernel_w <= k->width)
        fast_max_pool_downstream(k, nabla_a, places, nabla_a_prev); /* side by side */
    else
        plain_max_pool_downstream(k, nabla_a, places, nabla_a_prev);
}

INLINED real greater(real x, real y) { return y > x || y != y ? y : x; } /* NaN is the greatest */

/* The maxima alone, to predict by: those of the lines first, which are longer than windows. */
INLINED void maxima(const Pool *k, const real *a_prev, real *line, real *a)
{
    const int B = k->B, size = k->width * B;
    for (int c = 0; c < k->channels; c++)
        for (int h = 0; h < k->rows; h++) {
            const int y = h * k->stride_h - k->top, end = at_most(y + k->kernel_h, k->height);
            const real *const lines = a_prev + c * (long)k->height * size;
            copy(size, lines + (y > 0 ? y : 0) * size, line);
            for (int i = (y > 0 ? y : 0) + 1; i < end; i++)
                for (int t = 0; t < size; t++)
                    line[t] = greater(line[t], lines[i * size + t]);
            for (int v = 0; v < k->columns; v++) {
                const Window window = window_of(k, c, h, v);
                const int x = v * k->stride_w - k->left;
                copy(B, line + (x + window.j) * B, a + window.made);
                for (int j = window.j + 1; j < window.end_j; j++)
                    for (int b = 0; b < B; b++)
                        a[window.made + b] = greater(a[window.made + b], line[(x + j) * B + b]);
            }
        }
}

CALLED void avg_pool(const Pool *k, const real *restrict a_prev, real *restrict a)
{
    for (int c = 0; c < k->channels; c++)
        for (int h = 0; h < k->rows; h++)
            for (int v = 0; v < k->columns; v++) {
                const Window window = window_of(k, c, h, v);
                fill(k->B, 0, a + window.made);
                for (int i = window.i; i < window.end_i; i++)
                    for (int j = window.j; j < window.end_j; j++)
                        add_to(k->B, a_prev + element(k, &window, i, j), a + window.made);
                for (int b = 0; b < k->B; b++)
                    a[window.made + b] /= k->kernel_h * k->kernel_w;
            }
}

CALLED void avg_pool_downstream(const Pool *k, const real *restrict nabla_a,
                                real *restrict nabla_a_prev)
{
    const int size = k->kernel_h * k->kernel_w;
    memset(nabla_a_prev, 0, sizeof(real) * k->channels * k->height * k->width * k->B);
    for (int c = 0; c < k->channels; c++)
        for (int h = 0; h < k->rows; h++)
            for (int v = 0; v < k->columns; v++) {
                const Window window = window_of(k, c, h, v);
                for (int i = window.i; i < window.end_i; i++)
                    for (int j = window.j; j < window.end_j; j++)
                        for (int b = 0; b < k->B; b++)
                            nabla_a_prev[element(k, &window, i, j) + b] +=
                                nabla_a[window.made + b] / size;
            }
}

/* The mean of every channel over its n places. */
INLINED void global_avg_pool(int channels, int n, int B, const real *restrict a_prev,
                             real *restrict a)
{
    for (int c = 0; c < channels; c++) {
        fill(B, 0, a + c * B);
        for (int p = 0; p < n; p++)
            add_to(B, a_prev + (c * (long)n + p) * B, a + c * B);
        for (int b = 0; b < B; b++)
            a[c * B + b] /= n;
    }
}

INLINED void global_avg_pool_downstream(int channels, int n, int B, const real *restrict nabla_a,
                                        real *restrict nabla_a_prev)
{
    for (int c = 0; c < channels; c++)
        for (int p = 0; p < n; p++)
            for (int b = 0; b < B; b++)
                nabla_a_prev[(c * (long)n + p) * B + b] = nabla_a[c * B + b] / n;
}

/* Where T of the n places are steps, of which the mask, T x B, says how many are real: the means
 * are over these alone, and over one, if there is none. It makes as much of nabla_a. */
INLINED void mean_of_real(int channels, int T, int B, const uint8_t *restrict mask,
                          real *restrict a)
{
    for (int b = 0; b < B; b++) {
        int count = 0;
        for (int t = 0; t < T; t++)
            count += mask[t * B + b];
        for (int c = 0; c < channels; c++)
            a[c * B + b] *= (real)T / (count > 1 ? count : 1);
    }
}

#endif
