/* Batch normalisation of a minibatch that several processes share, each with some of its examples,
 * as layers/normalization.py has it: sums over a feature are those of all processes.
 *
 * x is n x m, what is here. A process that stands in, with an example that is none of its own, has
 * `own` 0, and adds nothing. `sums` has room for 2 n + 1 numbers, and keeps the count, over all
 * processes, as the last one.
 */
#ifndef BACKPROP_NORMALIZATION_OF_PARTS_H
#define BACKPROP_NORMALIZATION_OF_PARTS_H

#include "normalization_of_real.h"

INLINED void joined_batch_norm(int n, int m, int own, joining join, double *sums, double epsilon,
                               double momentum, const real *g, const real *b, const real *x, real
                               *x_hat, real *mu, real *deviation, real *running_mean, double
                               *running_variance, real *a)
{
    const int counted = own ? m : 0;
    for (int i = 0; i < n; i++)
        sums[i] = sum_of(counted, x + i * m);
    sums[n] = counted;
    join(sums, n + 1, 0);
    const double all = sums[2 * n] = sums[n];
    if (all == 0) {
        for (int i = 0; i < n; i++)
            mu[i] = 0, deviation[i] = 1;
        return;
    }
    for (int i = 0; i < n; i++)
        mu[i] = (real)(sums[i] / all);
    for (int i = 0; i < n; i++) {
        real sum, squares;
        sums_about(counted, mu[i], x + i * m, &sum, &squares);
        sums[i] = sum, sums[n + i] = squares;
    }
    join(sums, 2 * n, 0);
    for (int i = 0; i < n; i++) {
        const real mean = mu[i], rest = (real)(sums[i] / all);
        const real found = variance_of((real)(sums[n + i] / all), rest);
        double variance = found;
        if (is_extreme(mean, found)) {
            standardize_extremes(join, m, counted, 1, 1, epsilon, x + i * m, x_hat + i * m, mu + i,
                                 deviation + i, &variance);
        } else {
            mu[i] = mean + rest;
            deviation[i] = real_sqrt(found + (real)epsilon);
            const real inverse = 1 / deviation[i];
            for (int k = 0; k < m; k++)
                x_hat[i * m + k] = (x[i * m + k] - mean - rest) * inverse;
        }
        scaled_and_shifted(1, m, g + i, b + i, x_hat + i * m, a + i * m);
        move_running((int)all, momentum, mu[i], variance, running_mean + i, running_variance + i);
    }
}

/* The same of the real steps of padded sequences, n x P x S; `packed` has room for 3 n P S. */
INLINED void joined_batch_norm_of_real(int n, int P, int S, int own, joining join, double *sums,
                                       double epsilon, double momentum, const uint8_t *mask, int32_t
                                       *places, real *packed, const real *g, const real *b, const
                                       real *x, real *x_hat, real *mu, real *deviation, real
                                       *running_mean, double *running_variance, real *a)
{
    const int row = P * S, m = real_places(P, S, mask, places);
    real *const standardized = packed + (long)n * row, *const shifted = standardized + (long)n * row;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++)
            packed[i * m + k] = x[i * row + places[k]];
    joined_batch_norm(n, m, own, join, sums, epsilon, momentum, g, b, packed, standardized, mu,
                      deviation, running_mean, running_variance, shifted);
    memset(x_hat, 0, sizeof(real) * n * row);
    memset(a, 0, sizeof(real) * n * row);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++) {
            x_hat[i * row + places[k]] = standardized[i * m + k];
            a[i * row + places[k]] = shifted[i * m + k];
        }
}

/* dC/dx = (g / deviation) (nabla_a - dC/db / m - x_hat (dC/dg) / m), the m being that of all. */
INLINED void joined_batch_norm_downstream(int n, int m, int own, joining join, double *sums, const
                                          real *g, const real *deviation, const real *nabla_b, const
                                          real *nabla_g, const real *restrict nabla_a, const real
                                          *restrict x_hat, real *restrict below)
{
    const double all = sums[2 * n];
    for (int i = 0; i < n; i++) {
        sums[i] = own ? nabla_b[i] : 0;
        sums[n + i] = own ? nabla_g[i] : 0;
    }
    join(sums, 2 * n, 0);
    if (!own || all == 0) { /* for no example nothing goes down */
        memset(below, 0, sizeof(real) * n * m);
        return;
    }
    for (int i = 0; i < n; i++) {
        const real factor = g[i] / deviation[i];
        const real mean = (real)(sums[i] / all), slope = (real)(sums[n + i] / all);
        for (int k = 0; k < m; k++)
            below[i * m + k] = (nabla_a[i * m + k] - x_hat[i * m + k] * slope - mean) * factor;
    }
}

/* nabla_a and x_hat are 0 at the steps that are not real. */
INLINED void joined_batch_norm_downstream_of_real(int n, int P, int S, int own, joining join, double
                                                  *sums, const uint8_t *mask, const real *g, const
                                                  real *deviation, const real *nabla_b, const real
                                                  *nabla_g, const real *nabla_a, const real *x_hat,
                                                  real *below)
{
    joined_batch_norm_downstream(n, P * S, own, join, sums, g, deviation, nabla_b, nabla_g, nabla_a,
                                 x_hat, below);
    zero_padding(n * P, S, mask, below);
}

#endif
