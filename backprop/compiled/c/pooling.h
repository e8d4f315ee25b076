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

#if defined(__GNUC__) && !defined(__clang__)
INLINED vector greater_of(vector x, vector y)
{
    return pick_real((y > x) | (y != y), y, x);
}

/* a[v] = the greatest of lines[2 v] and lines[2 v + 1], n of them, over so many lines of `width`
 * numbers. Vectors reach beyond the end of a line, by less than 2 LANES. */
INLINED void maxima_of_pairs(int n, int count, int width, const real *lines, real *a)
{
    integers even;
    UNROLLED for (int l = 0; l < LANES; l++)
        even[l] = 2 * l;
    for (int v = 0; v < n; v += LANES) {
        vector x = *(const vector *)(lines + 2 * v), y = *(const vector *)(lines + 2 * v + LANES);
        for (int i = 1; i < count; i++) {
            const real *const line = lines + i * width + 2 * v;
            x = greater_of(x, *(const vector *)line);
            y = greater_of(y, *(const vector *)(line + LANES));
        }
        const vector most = greater_of(__builtin_shuffle(x, y, even),
                                       __builtin_shuffle(x, y, even + 1));
        memcpy(a + v, &most, sizeof(real) * at_most(n - v, LANES));
    }
}
#define HAS_PAIRS 1
#else
#define HAS_PAIRS 0
#define maxima_of_pairs(n, count, width, lines, a) (void)(lines), (void)(a)
#endif

/* The maxima alone, to predict by: those of the lines first, which are longer than windows; in
 * pairs where vectors do not reach beyond the end of a_prev. */
INLINED void maxima(const Pool *k, const real *a_prev, real *line, real *a)
{
    const int B = k->B, size = k->width * B;
    const int in_pairs = HAS_PAIRS && B == 1 && k->kernel_w == 2 && k->stride_w == 2 && !k->left
                         && 2 * k->columns <= k->width;
    const long all = k->channels * (long)k->height * size;
    const long reach = 2 * (in_parts(k->columns, LANES) * LANES);
    for (int c = 0; c < k->channels; c++)
        for (int h = 0; h < k->rows; h++) {
            const int y = h * k->stride_h - k->top, end = at_most(y + k->kernel_h, k->height);
            const int first = y > 0 ? y : 0;
            const real *const lines = a_prev + c * (long)k->height * size;
            if (in_pairs && (c * (long)k->height + end - 1) * size + reach <= all) {
                real *const of_windows = a + (c * (long)k->rows + h) * k->columns;
                maxima_of_pairs(k->columns, end - first, size, lines + first * size, of_windows);
                continue;
            }
            copy(size, lines + first * size, line);
            for (int i = first + 1; i < end; i++)
                for (int t = 0; t < size; t++)
                    line[t] = greater(line[t], lines[i * size + t]);
            for (int v = 0; v < k->columns; v++) {
                const Window window = window_of(k, c, h, v);
                const real *const seen = line + (v * k->stride_w - k->left) * B;
                copy(B, seen + window.j * B, a + window.made);
                for (int j = window.j + 1; j < window.end_j; j++)
                    for (int b = 0; b < B; b++)
                        a[window.made + b] = greater(a[window.made + b], seen[j * B + b]);
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
