/* Transposed convolutions: the equations of layers/transposed_convolution.py. They are those of the
 * convolution with the same w from its output to its input, each in another's place: what that
 * sends down is z here, and what it makes of delta is what this sends down.
 */
#ifndef BACKPROP_TRANSPOSED_CONVOLUTION_H
#define BACKPROP_TRANSPOSED_CONVOLUTION_H

#include "convolution.h"

INLINED void transposed_weighted_input(const Windows *k, part_of_work line, const real *w,
                                       const real *a_prev, real *room, real *z)
{
    convolution_downstream(k, line, w, a_prev, room, z); /* z = w^T a_prev, without b */
}

INLINED void transposed_biases(int maps, int n, const real *restrict b, real *restrict z)
{
    for (int m = 0; m < maps; m++)
        for (int t = 0; t < n; t++)
            z[m * n + t] += b[m];
}

INLINED void transposed_weight_gradient(const Windows *k, part_of_work weights,
                                        const real *a_prev, const real *delta, real *room,
                                        real *nabla_w)
{
    convolution_weight_gradient(k, weights, a_prev, delta, room, nabla_w); /* BP4: a_prev . delta */
}

INLINED void transposed_downstream(const Windows *k, part_of_work row, const real *w,
                                   const real *delta, real *room, real *nabla_a_prev)
{
    convolution_weighted_input(k, row, w, NULL, delta, room, nabla_a_prev); /* BP2: w * delta */
}

#endif
