/* The fully connected layer: the four equations, as in layers/dense.py. Of BP1, delta = dC/da *
 * sigma'(z), dC/da is in costs.h; the product, which follows on BP2, too, is in activations.h.
 *
 * w is n_out x n_in; a_prev is n_in x B and z, a and delta are n_out x B, one example a column. The
 * input of a network comes as its rows, B x n_in, one example after another.
 */
#ifndef BACKPROP_DENSE_H
#define BACKPROP_DENSE_H

#include "product.h"

INLINED void dense_weighted_input(int n_out, int n_in, int B, const real *w, const real *b,
                                  const real *a_prev, real *z)
{
    times_plus(n_out, B, n_in, w, a_prev, b, z); /* z = w a_prev + b */
}

INLINED void dense_weighted_input_of_rows(int n_out, int n_in, int B, const real *w,
                                          const real *b, const real *rows, real *z)
{
    times_transposed_plus(n_out, B, n_in, w, rows, b, z, 0); /* z = w a_prev + b */
}

INLINED void dense_bias_gradient(int n_out, int B, const real *delta, real *nabla_b)
{
    for (int j = 0; j < n_out; j++)
        nabla_b[j] = sum_of(B, delta + j * B); /* BP3: dC/db = sum of delta over the batch */
}

INLINED void dense_weight_gradient(int n_out, int n_in, int B, const real *delta,
                                   const real *a_prev, real *nabla_w)
{
    times_transposed(n_out, n_in, B, delta, a_prev, nabla_w, 0); /* BP4: dC/dw = delta a_prev^T */
}

INLINED void dense_weight_gradient_of_rows(int n_out, int n_in, int B, const real *delta,
                                           const real *rows, real *nabla_w)
{
    times(n_out, n_in, B, delta, rows, nabla_w, 0); /* BP4: dC/dw = delta a_prev^T */
}

INLINED void dense_downstream(int n_out, int n_in, int B, const real *w, const real *delta,
                              real *nabla_a_prev)
{
    transposed_times(n_in, B, n_out, w, delta, nabla_a_prev, 0); /* BP2: w^T delta */
}

#endif
