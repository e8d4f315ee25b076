/* Which steps of padded sequences are real, and 0 in all others, as in layers/masks.py.
 *
 * A mask is T x B, 1 where a step is real. The arrays of sequences are n x T B.
 */
#ifndef BACKPROP_MASKS_H
#define BACKPROP_MASKS_H

#include "real.h"

/* The sequences with 0 where a step is padding; m is T B. */
INLINED void only_real(int n, int m, const uint8_t *restrict mask, const real *restrict x,
                       real *restrict a)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) {
            const real of_step = x[i * m + j];
            a[i * m + j] = mask[j] ? of_step : 0;
        }
}

/* The same in place. */
INLINED void zero_padding(int n, int m, const uint8_t *restrict mask, real *restrict x)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) {
            const real of_step = x[i * m + j];
            x[i * m + j] = mask[j] ? of_step : 0;
        }
}

/* The same of integers, such as tokens. */
INLINED void only_real_integers(int n, int m, const uint8_t *restrict mask,
                                const int32_t *restrict x, int32_t *restrict a)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++)
            a[i * m + j] = mask[j] ? x[i * m + j] : 0;
}

/* Real is what has more than 1/2 in all n rows of the mask that came with the numbers. */
INLINED void mask_of_numbers(int n, int m, const real *restrict rows, uint8_t *restrict mask)
{
    for (int j = 0; j < m; j++)
        mask[j] = 1;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++)
            mask[j] &= rows[i * m + j] > (real)0.5;
}

/* Real is what is nowhere -1; token 0 stands for that in `a`. */
INLINED void mask_of_tokens(int n, int m, const int32_t *restrict tokens, uint8_t *restrict mask,
                            int32_t *restrict a)
{
    for (int j = 0; j < m; j++)
        mask[j] = 1;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) {
            mask[j] &= tokens[i * m + j] != -1;
            a[i * m + j] = tokens[i * m + j] == -1 ? 0 : tokens[i * m + j];
        }
}

INLINED void real_in_both(int m, const uint8_t *restrict one, const uint8_t *restrict other,
                          uint8_t *restrict both)
{
    for (int j = 0; j < m; j++)
        both[j] = one[j] & other[j];
}

/* Where windows lie: every run of real steps `by` steps longer at its end, or shorter if by < 0,
 * and of these steps every stride-th, T_out of them. Before that every step of the T is `repeat`
 * steps. */
INLINED void ends_moved(int T, int B, int T_out, int repeat, int by, int stride,
                        const uint8_t *restrict mask, uint8_t *restrict moved)
{
    for (int t = 0; t < T_out; t++)
        for (int j = 0; j < B; j++) {
            const int first = t * stride - (by > 0 ? by : 0); /* of the steps that are looked at */
            int any = 0, all = 1;
            for (int s = first; s <= first + (by > 0 ? by : -by); s++) {
                const int real_step = 0 <= s && s < T * repeat && mask[s / repeat * B + j];
                any |= real_step;
                all &= real_step;
            }
            moved[t * B + j] = (uint8_t)(by > 0 ? any : all);
        }
}

#endif
