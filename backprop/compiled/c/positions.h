/* Waves that tell every step where it stands, as in layers/positions.py; p, d x T, is given. */
#ifndef BACKPROP_POSITIONS_H
#define BACKPROP_POSITIONS_H

#include "real.h"

INLINED void positional_encoding(int d, int T, int B, const real *restrict p,
                                 const real *restrict a_prev, real *restrict a)
{
    for (int i = 0; i < d * T; i++)
        for (int b = 0; b < B; b++)
            a[i * B + b] = a_prev[i * B + b] + p[i];
}

/* With a mask the real steps of every sequence are counted, and padding stands where the last real
 * one before it does. */
INLINED void positional_encoding_of_real(int d, int T, int B, const real *restrict p,
                                         const uint8_t *restrict mask,
                                         const real *restrict a_prev, real *restrict a)
{
    for (int i = 0; i < d; i++)
        for (int b = 0; b < B; b++) {
            int behind = 0;
            for (int t = 0; t < T; t++) {
                const int k = (i * T + t) * B + b;
                behind += mask[t * B + b];
                a[k] = a_prev[k] + p[i * T + (behind ? behind - 1 : 0)];
            }
        }
}

#endif
