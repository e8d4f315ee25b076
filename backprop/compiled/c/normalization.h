/* Batch, layer, group and root mean square normalisation, as in layers/normalization.py.
 *
 *     forward    a = g x_hat + b
 *     BP3        dC/db = sum of nabla_a
 *     BP4        dC/dg = sum of nabla_a x_hat
 *     downstream dC/dx = (u - mean of u - x_hat (mean of u x_hat)) / deviation,   u = g nabla_a
 *
 * Of batch normalisation x is n x m, a feature a row of all places and examples. Of the others a
 * group is F x P x R, features, places, and the rest, to which the batch belongs; F P numbers, a
 * column, are standardised together.
 */
#ifndef BACKPROP_NORMALIZATION_H
#define BACKPROP_NORMALIZATION_H

#include "standardization.h"
#include "team.h"

INLINED void scaled_and_shifted(int n, int m, const real *g, const real *b,
                             const real *restrict x_hat, real *restrict a)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++)
            a[i * m + k] = g[i] * x_hat[i * m + k] + b[i]; /* a = g x_hat + b */
}

INLINED void scaled(int n, int m, const real *g, const real *restrict x_hat, real *restrict a)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++)
            a[i * m + k] = g[i] * x_hat[i * m + k]; /* a = g x_hat */
}

INLINED void shift_gradient(int n, int m, const real *nabla_a, real *nabla_b)
{
    for (int i = 0; i < n; i++)
        nabla_b[i] = sum_of(m, nabla_a + i * m); /* BP3: dC/db = sum of nabla_a */
}

INLINED void scale_gradient(int n, int m, const real *nabla_a, const real *x_hat, real *nabla_g)
{
    for (int i = 0; i < n; i++)
        nabla_g[i] = dot(m, nabla_a + i * m, x_hat + i * m); /* BP4: dC/dg = sum nabla_a x_hat */
}

/* -- batch normalisation ---------------------------------------------------------------------- */

/* The running statistics of one feature; a single number says nothing of the variance. */
INLINED void move_running(int m, double momentum, real mu, double variance, real *running_mean,
                          double *running_variance)
{
    *running_mean = *running_mean * (real)(1 - momentum) + (real)momentum * mu;
    if (m > 1)
        *running_variance = *running_variance * (1 - momentum)
                            + variance * (momentum * m / (m - 1));
}

struct batch_norm {
    int n, m, rows; /* so many features are a part of the work */
    double epsilon, momentum;
    const real *g, *b, *x;
    real *x_hat, *mu, *deviation, *running_mean;
    double *running_variance;
    real *a;
    const real *nabla_a;
    real *nabla_b, *nabla_g, *below;
};

static void batch_norm_of_part(void *work, int part)
{
    const struct batch_norm *const k = work;
    const int m = k->m, end = at_most(k->n, (part + 1) * k->rows);
    for (int i = part * k->rows; i < end; i++) {
        double variance;
        standardize_row(m, 1, k->epsilon, k->x + i * m, k->x_hat + i * m, k->mu + i,
                        k->deviation + i, &variance);
        scaled_and_shifted(1, m, k->g + i, k->b + i, k->x_hat + i * m, k->a + i * m);
        move_running(m, k->momentum, k->mu[i], variance, k->running_mean + i,
                     k->running_variance + i);
    }
}

INLINED void batch_norm(int n, int m, double epsilon, double momentum, const real *g,
                        const real *b, const real *x, real *x_hat, real *mu, real *deviation,
                        real *running_mean, double *running_variance, real *a)
{
    const int rows = rows_at_once(n, m, FEW_NUMBERS);
    struct batch_norm all = {
        .n = n, .m = m, .rows = rows, .epsilon = epsilon, .momentum = momentum, .g = g, .b = b,
        .x = x, .x_hat = x_hat, .mu = mu, .deviation = deviation, .running_mean = running_mean,
        .running_variance = running_variance, .a = a};
    share(in_parts(n, rows), batch_norm_of_part, &all);
}

/* By the running statistics: in inference, and in a layer that is frozen. */
INLINED void batch_norm_by_running(int n, int m, double epsilon, const real *g, const real *b,
                                   const real *running_mean, const double *running_variance,
                                   const real *restrict x, real *restrict a)
{
    for (int i = 0; i < n; i++) {
        const real mu = running_mean[i], deviation = (real)sqrt(running_variance[i] + epsilon);
        const real inverse = 1 / deviation, scale = g[i], shift = b[i];
        for (int k = 0; k < m; k++)
            a[i * m + k] = scale * ((x[i * m + k] - mu) * inverse) + shift;
    }
}

INLINED void standardize_by_running(int n, int m, double epsilon, const real *running_mean,
                                    const double *running_variance, const real *restrict x,
                                    real *restrict x_hat, real *mu, real *deviation)
{
    for (int i = 0; i < n; i++) {
        mu[i] = running_mean[i];
        deviation[i] = (real)sqrt(running_variance[i] + epsilon);
        const real mean = mu[i], inverse = 1 / deviation[i];
        for (int k = 0; k < m; k++)
            x_hat[i * m + k] = (x[i * m + k] - mean) * inverse;
    }
}

/* dC/dx = (g / deviation) (nabla_a - dC/db / m - x_hat (dC/dg) / m) */
INLINED void batch_norm_downstream(int n, int m, const real *g, const real *deviation,
                                   const real *nabla_b, const real *nabla_g,
                                   const real *restrict nabla_a, const real *restrict x_hat,
                                   real *restrict below)
{
    for (int i = 0; i < n; i++) {
        const real factor = g[i] / deviation[i], mean = nabla_b[i] / m, slope = nabla_g[i] / m;
        for (int k = 0; k < m; k++)
            below[i * m + k] = (nabla_a[i * m + k] - x_hat[i * m + k] * slope - mean) * factor;
    }
}

static void batch_norm_way_back_of_part(void *work, int part)
{
    const struct batch_norm *const k = work;
    const int m = k->m, end = at_most(k->n, (part + 1) * k->rows);
    for (int i = part * k->rows; i < end; i++) {
        const real *nabla_a = k->nabla_a + i * m, *x_hat = k->x_hat + i * m;
        shift_gradient(1, m, nabla_a, k->nabla_b + i);
        scale_gradient(1, m, nabla_a, x_hat, k->nabla_g + i);
        batch_norm_downstream(1, m, k->g + i, k->deviation + i, k->nabla_b + i, k->nabla_g + i,
                              nabla_a, x_hat, k->below + i * m);
    }
}

/* BP3, BP4 and that, a feature after the other. */
INLINED void batch_norm_way_back(int n, int m, const real *g, real *deviation,
                                 const real *nabla_a, real *x_hat, real *nabla_b, real *nabla_g,
                                 real *below)
{
    const int rows = rows_at_once(n, m, FEW_NUMBERS);
    struct batch_norm all = {
        .n = n, .m = m, .rows = rows, .g = g, .x_hat = x_hat, .deviation = deviation,
        .nabla_a = nabla_a, .nabla_b = nabla_b, .nabla_g = nabla_g, .below = below};
    share(in_parts(n, rows), batch_norm_way_back_of_part, &all);
}

/* The same where mu and the deviation are constants. */
INLINED void batch_norm_downstream_by_running(int n, int m, const real *g, const real *deviation,
                                              const real *restrict nabla_a, real *restrict below)
{
    for (int i = 0; i < n; i++) {
        const real factor = g[i] / deviation[i];
        for (int k = 0; k < m; k++)
            below[i * m + k] = nabla_a[i * m + k] * factor;
    }
}

/* -- layer, group and root mean square normalisation ------------------------------------------ */

/* G groups of m x R, each column standardised by itself. */
INLINED void standardize_groups(int G, int m, int R, int centred, double epsilon, const real *x,
                                real *x_hat, real *mu, real *deviation)
{
    for (int i = 0; i < G; i++)
        standardize_columns(m, R, centred, epsilon, x + (long)i * m * R, x_hat + (long)i * m * R,
                            mu + i * R, deviation + i * R);
}

/* `wide` columns of a group: (u - mean of u - x_hat (mean of u x_hat)) / deviation. */
INLINED void some_downstream(int F, int P, int R, int wide, int centred, const real *g,
                             const real *deviation, const real *nabla_a, const real *x_hat,
                             real *below)
{
    real mean[WIDE] = {0}, slope[WIDE] = {0}, inverse[WIDE];
    for (int i = 0; i < F; i++) {
        real part[WIDE] = {0}, part2[WIDE] = {0};
        for (int p = 0; p < P; p++)
            for (int j = 0; j < wide; j++) {
                const long k = ((long)i * P + p) * R + j;
                part[j] += nabla_a[k];
                part2[j] += nabla_a[k] * x_hat[k];
            }
        for (int j = 0; j < wide; j++) {
            mean[j] += g[i] * part[j];
            slope[j] += g[i] * part2[j];
        }
    }
    for (int j = 0; j < wide; j++) {
        mean[j] = centred ? mean[j] / (F * P) : 0;
        slope[j] /= F * P;
        inverse[j] = 1 / deviation[j];
    }
    for (int i = 0; i < F; i++)
        for (int p = 0; p < P; p++)
            for (int j = 0; j < wide; j++) {
                const long k = ((long)i * P + p) * R + j;
                below[k] = (g[i] * nabla_a[k] - x_hat[k] * slope[j] - mean[j]) * inverse[j];
            }
}

INLINED void group_norm_downstream(int G, int F, int P, int R, int centred, const real *g,
                                   const real *deviation, const real *nabla_a, const real *x_hat,
                                   real *below)
{
    for (int i = 0; i < G; i++) {
        const long at = (long)i * F * P * R;
        int j = 0;
        for (; j + WIDE <= R; j += WIDE)
            some_downstream(F, P, R, WIDE, centred, g + i * F, deviation + i * R + j,
                            nabla_a + at + j, x_hat + at + j, below + at + j);
        if (j < R)
            some_downstream(F, P, R, R - j, centred, g + i * F, deviation + i * R + j,
                            nabla_a + at + j, x_hat + at + j, below + at + j);
    }
}

#endif
