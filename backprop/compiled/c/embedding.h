/* Vectors for tokens, as in layers/embedding.py: w is d x n, a column for every token; the m places
 * are all steps of all examples. */
#ifndef BACKPROP_EMBEDDING_H
#define BACKPROP_EMBEDDING_H

#include "real.h"

INLINED void embedding(int d, int n, int m, const real *restrict w,
                       const int32_t *restrict tokens, real *restrict a)
{
    for (int i = 0; i < d; i++) {
        const real *row = w + (long)i * n;
        for (int k = 0; k < m; k++)
            a[i * m + k] = row[tokens[k]]; /* a = w x, x being 1 at the token */
    }
}

INLINED void embedding_gradient(int d, int n, int m, const real *restrict delta,
                                const int32_t *restrict tokens, real *restrict nabla_w)
{
    memset(nabla_w, 0, sizeof(real) * d * n);
    for (int i = 0; i < d; i++)
        for (int k = 0; k < m; k++)
            nabla_w[(long)i * n + tokens[k]] += delta[i * m + k]; /* BP4: dC/dw = delta x^T */
}

#endif
