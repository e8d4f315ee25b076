/* Dropout and noise, as in layers/dropout.py, of numbers that were drawn ahead. */
#ifndef BACKPROP_DROPOUT_H
#define BACKPROP_DROPOUT_H

#include "real.h"

/* 0 with probability p, else `kept`, which is 1 / (1 - p): `drawn` is uniform in [0, 1). */
INLINED void dropout_mask(int n, real p, real kept, const real *restrict drawn,
                          real *restrict mask)
{
    for (int i = 0; i < n; i++)
        mask[i] = drawn[i] >= p ? kept : 0;
}

/* a = mask * a_prev of C channels of P places, for which an example has one number of the mask;
 * downstream the same of nabla_a. */
INLINED void times_mask(int C, int P, int B, const real *restrict mask,
                        const real *restrict a_prev, real *restrict a)
{
    for (int c = 0; c < C; c++)
        for (int p = 0; p < P; p++)
            for (int b = 0; b < B; b++)
                a[((long)c * P + p) * B + b] = mask[c * B + b] * a_prev[((long)c * P + p) * B + b];
}

/* a = a_prev + noise, and noise is what was drawn times its standard deviation. */
INLINED void add_noise(int n, real std, const real *restrict drawn, const real *restrict a_prev,
                       real *restrict noise, real *restrict a)
{
    for (int i = 0; i < n; i++) {
        noise[i] = std * drawn[i];
        a[i] = a_prev[i] + noise[i];
    }
}

#endif
