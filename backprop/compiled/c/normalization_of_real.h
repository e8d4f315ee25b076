/* Batch and group normalisation of padded sequences: only real steps are standardised, and a is 0
 * at all others, as layers/standardization.py has it. These are laid together, side by side.
 *
 * x is n x P x S for batch normalisation, the S being all steps of all sequences, T B; for the
 * other G groups of q rows of T x B. A mask is T x B, 1 where a step is real. */
#ifndef BACKPROP_NORMALIZATION_OF_REAL_H
#define BACKPROP_NORMALIZATION_OF_REAL_H

#include "masks.h"
#include "normalization.h"

/* Where in a row of P x S the real steps are; returns how many. */
INLINED int real_places(int P, int S, const uint8_t *mask, int32_t *places)
{
    int m = 0;
    for (int p = 0; p < P; p++)
        for (int s = 0; s < S; s++)
            if (mask[s])
                places[m++] = p * S + s;
    return m;
}

/* `packed` has room for 2 P S numbers, and `places` for P S. */
INLINED void batch_norm_of_real(int n, int P, int S, double epsilon, double momentum,
                                const uint8_t *mask, int32_t *places, real *packed, const real *g,
                                const real *b, const real *x, real *x_hat, real *mu,
                                real *deviation, real *running_mean, double *running_variance,
                                real *a)
{
    const int m = real_places(P, S, mask, places);
    memset(x_hat, 0, sizeof(real) * n * P * S);
    memset(a, 0, sizeof(real) * n * P * S);
    for (int i = 0; i < n; i++) {
        const real *row = x + i * P * S;
        double variance;
        mu[i] = 0, deviation[i] = 1;
        if (m == 0)
            continue;
        for (int k = 0; k < m; k++)
            packed[k] = row[places[k]];
        standardize_row(m, 1, epsilon, packed, packed + m, mu + i, deviation + i, &variance);
        for (int k = 0; k < m; k++) {
            x_hat[i * P * S + places[k]] = packed[m + k];
            a[i * P * S + places[k]] = g[i] * packed[m + k] + b[i];
        }
        move_running(m, momentum, mu[i], variance, running_mean + i, running_variance + i);
    }
}

/* nabla_a and x_hat are 0 at all other steps. */
INLINED void batch_norm_downstream_of_real(int n, int P, int S, const uint8_t *mask,
                                           const real *g, const real *deviation,
                                           const real *nabla_b, const real *nabla_g,
                                           const real *nabla_a, const real *x_hat, real *below)
{
    int m = 0;
    for (int s = 0; s < S; s++)
        m += P * mask[s];
    memset(below, 0, sizeof(real) * n * P * S);
    if (m == 0)
        return;
    for (int i = 0; i < n; i++) {
        const real factor = g[i] / deviation[i], mean = nabla_b[i] / m, slope = nabla_g[i] / m;
        for (int k = i * P * S; k < (i + 1) * P * S; k++)
            below[k] = (nabla_a[k] - x_hat[k] * slope - mean) * factor;
    }
    zero_padding(n * P, S, mask, below);
}

/* `packed` has room for 2 q T numbers. */
INLINED void standardize_groups_of_real(int G, int q, int T, int B, double epsilon,
                                        const uint8_t *mask, real *packed, const real *x,
                                        real *x_hat, real *mu, real *deviation)
{
    memset(x_hat, 0, sizeof(real) * G * q * T * B);
    for (int i = 0; i < G; i++)
        for (int b = 0; b < B; b++) {
            const long first = (long)i * q * T * B + b;
            double unused;
            int m = 0;
            for (int k = 0; k < q * T; k++)
                if (mask[k % T * B + b])
                    packed[m++] = x[first + k * B];
            mu[i * B + b] = 0, deviation[i * B + b] = 1;
            if (m == 0)
                continue;
            real *const standardized = packed + m;
            standardize_row(m, 1, epsilon, packed, standardized, mu + i * B + b,
                            deviation + i * B + b, &unused);
            m = 0;
            for (int k = 0; k < q * T; k++)
                if (mask[k % T * B + b])
                    x_hat[first + k * B] = standardized[m++];
        }
}

/* F features of q / F rows in a group; nabla_a and x_hat are 0 at all other steps. */
INLINED void group_norm_downstream_of_real(int G, int F, int q, int T, int B, const uint8_t *mask,
                                           const real *g, const real *deviation,
                                           const real *nabla_a, const real *x_hat, real *below)
{
    for (int i = 0; i < G; i++)
        for (int b = 0; b < B; b++) {
            const long first = (long)i * q * T * B + b;
            real mean = 0, slope = 0;
            int m = 0;
            for (int k = 0; k < q * T; k++) {
                const real u = g[i * F + k / (q / F * T)] * nabla_a[first + k * B];
                mean += u;
                slope += u * x_hat[first + k * B];
                m += mask[k % T * B + b];
            }
            mean /= m ? m : 1;
            slope /= m ? m : 1;
            for (int k = 0; k < q * T; k++) {
                const real u = g[i * F + k / (q / F * T)] * nabla_a[first + k * B];
                below[first + k * B] = (u - x_hat[first + k * B] * slope - mean)
                                       / deviation[i * B + b];
            }
        }
    zero_padding(G * q, T * B, mask, below);
}

#endif
