/* Layers that only rearrange, as in layers/reshape.py: what is a matter of shape alone has no code.
 * A sequence is d x T x B. */
#ifndef BACKPROP_RESHAPE_H
#define BACKPROP_RESHAPE_H

#include "real.h"

/* The axes of x in another order, n places of `run` numbers that stay together: of each axis, the
 * first one first, how long it is in y, and how far apart its places are in x. */
INLINED void permute(int n, int run, int axes, const int *lengths, const int *apart,
                     const real *restrict x, real *restrict y)
{
    for (int place = 0; place < n; place++) {
        int from = 0, rest = place;
        for (int axis = axes - 1; axis >= 0; axis--) {
            from += rest % lengths[axis] * apart[axis];
            rest /= lengths[axis];
        }
        memcpy(y + (long)place * run, x + (long)from * run, sizeof(real) * run);
    }
}

/* Step t of every sequence, and the way back: 0 at all other steps. */
INLINED void time_step(int d, int T, int B, int t, const real *restrict a_prev, real *restrict a)
{
    for (int i = 0; i < d; i++)
        memcpy(a + i * B, a_prev + (i * T + t) * B, sizeof(real) * B);
}

INLINED void time_step_downstream(int d, int T, int B, int t, const real *restrict nabla_a,
                                  real *restrict below)
{
    memset(below, 0, sizeof(real) * d * T * B);
    for (int i = 0; i < d; i++)
        memcpy(below + (i * T + t) * B, nabla_a + i * B, sizeof(real) * B);
}

/* Which step of every sequence is its t-th real one, from 0, or from the end if t < 0; -1: none. */
INLINED void picked_steps(int T, int B, int t, const uint8_t *mask, int32_t *picked)
{
    for (int b = 0; b < B; b++) {
        int real_steps = 0, number = 0;
        for (int s = 0; s < T; s++)
            real_steps += mask[s * B + b];
        const int wanted = t < 0 ? real_steps + t : t;
        picked[b] = -1;
        for (int s = 0; s < T; s++)
            if (mask[s * B + b] && number++ == wanted)
                picked[b] = s;
    }
}

INLINED void picked_step(int d, int T, int B, const int32_t *restrict picked,
                         const real *restrict a_prev, real *restrict a)
{
    for (int i = 0; i < d; i++)
        for (int b = 0; b < B; b++)
            a[i * B + b] = picked[b] < 0 ? 0 : a_prev[(i * T + picked[b]) * B + b];
}

INLINED void picked_step_downstream(int d, int T, int B, const int32_t *restrict picked,
                                    const real *restrict nabla_a, real *restrict below)
{
    for (int i = 0; i < d; i++)
        for (int t = 0; t < T; t++)
            for (int b = 0; b < B; b++)
                below[(i * T + t) * B + b] = picked[b] == t ? nabla_a[i * B + b] : 0;
}

#endif
