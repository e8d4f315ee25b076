/* Convolutions: the equations of layers/convolution.py, for every map m, channel c, element (i, j)
 * of the kernel and row h, as loops over runs of t (see windows.h). The `plain_` functions say what
 * is computed. In their place stand the same sums by tiles that stay in the registers, or, where
 * runs are short, the products of matrices that they are: z = w P + b, P being all patches.
 *
 * What lies around the input must be there already, as zeros: `lay_out` puts it. BP1 is, as of
 * every layer, in costs.h, dC/da, and in activations.h, which multiplies it by sigma'(z).
 */
#ifndef BACKPROP_CONVOLUTION_H
#define BACKPROP_CONVOLUTION_H

#include "direct_convolution.h"
#include "patches.h"
#include "product.h"

INLINED void plain_weighted_input(const Windows *k, const real *w, const real *b, const real *a,
                                  real *z)
{
    for (int m = 0; m < k->maps; m++)
        fill((int)map_size(k), b ? b[m] : 0, z + m * map_size(k));
    for (int m = 0; m < k->maps; m++)
        for (int c = 0; c < k->channels; c++)
            for (int i = 0; i < k->kernel_h; i++)
                for (int j = 0; j < k->kernel_w; j++, w++)
                    for (int h = 0; h < k->rows; h++) {
                        const real *seen = a + c * channel_size(k) + shown(k, h, i, j);
                        real *of_row = z + m * map_size(k) + h * run_of(k);
                        for (int t = 0; t < run_of(k); t++)
                            of_row[t] += *w * seen[t]; /* z = w * a_prev + b */
                    }
}

INLINED void plain_weight_gradient(const Windows *k, const real *delta, const real *a,
                                   real *nabla_w)
{
    for (int m = 0; m < k->maps; m++)
        for (int c = 0; c < k->channels; c++)
            for (int i = 0; i < k->kernel_h; i++)
                for (int j = 0; j < k->kernel_w; j++, nabla_w++) {
                    *nabla_w = 0;
                    for (int h = 0; h < k->rows; h++) /* BP4: dC/dw = delta . a_prev */
                        *nabla_w += dot(run_of(k), delta + m * map_size(k) + h * run_of(k),
                                        a + c * channel_size(k) + shown(k, h, i, j));
                }
}

INLINED void plain_downstream(const Windows *k, const real *w, const real *delta, real *nabla_a)
{
    memset(nabla_a, 0, sizeof(real) * k->channels * channel_size(k));
    for (int m = 0; m < k->maps; m++)
        for (int c = 0; c < k->channels; c++)
            for (int i = 0; i < k->kernel_h; i++)
                for (int j = 0; j < k->kernel_w; j++, w++)
                    for (int h = 0; h < k->rows; h++) {
                        const real *of_row = delta + m * map_size(k) + h * run_of(k);
                        real *seen = nabla_a + c * channel_size(k) + shown(k, h, i, j);
                        for (int t = 0; t < run_of(k); t++)
                            seen[t] += *w * of_row[t]; /* BP2: w^T delta */
                    }
}

/* For every group of channels. `row`, `line` and `weights` compute a part of what an equation makes
 * (see direct_convolution.h). b may be NULL; there is room for the patches of a group, if runs are
 * short, and for its weights. */
INLINED void convolution_weighted_input(const Windows *k, part_of_work row, const real *w,
                                        const real *b, const real *a, real *room, real *z)
{
    const int n = k->rows * run_of(k), of_map = k->channels * kernel_size(k);
    for (int g = 0; g < k->groups; g++) {
        if (runs_are_short(k)) {
            make_patches(k, a, room);
            times_plus(k->maps, n, of_map, w, room, b, z); /* z = w P + b */
        } else
            direct_weighted_input(k, row, w, b, a, z); /* z = w * a_prev + b */
        w += k->maps * of_map, a += k->channels * channel_size(k), z += k->maps * n;
        b = b ? b + k->maps : b;
    }
}

INLINED void convolution_bias_gradient(int maps, int n, const real *delta, real *nabla_b)
{
    for (int m = 0; m < maps; m++)
        nabla_b[m] = sum_of(n, delta + m * n); /* BP3: dC/db = sum of delta over places and batch */
}

INLINED void convolution_weight_gradient(const Windows *k, part_of_work weights, const real *delta,
                                         const real *a, real *room, real *nabla_w)
{
    const int n = k->rows * run_of(k), of_map = k->channels * kernel_size(k);
    for (int g = 0; g < k->groups; g++) {
        if (runs_are_short(k)) {
            make_patches(k, a, room);
            times_transposed(k->maps, of_map, n, delta, room, nabla_w, 0); /* BP4: delta P^T */
        } else
            direct_weight_gradient(k, weights, delta, a, nabla_w); /* BP4: delta . a_prev */
        delta += k->maps * n, a += k->channels * channel_size(k), nabla_w += k->maps * of_map;
    }
}

INLINED void convolution_downstream(const Windows *k, part_of_work line, const real *w,
                                    const real *delta, real *room, real *nabla_a)
{
    const int n = k->rows * run_of(k), of_map = k->channels * kernel_size(k);
    for (int g = 0; g < k->groups; g++) {
        if (runs_are_short(k)) {
            transposed_times(of_map, n, k->maps, w, delta, room, 0); /* BP2: dC/dP = w^T delta */
            add_patches(k, room, nabla_a);
        } else
            direct_downstream(k, line, w, delta, room, nabla_a); /* BP2: w^T delta */
        w += k->maps * of_map, delta += k->maps * n, nabla_a += k->channels * channel_size(k);
    }
}

#endif
