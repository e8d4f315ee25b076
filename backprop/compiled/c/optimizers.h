/* How theta moves, for n numbers of it. eta is what it is for these numbers in this step. */
#ifndef BACKPROP_OPTIMIZERS_H
#define BACKPROP_OPTIMIZERS_H

#include "real.h"

INLINED void sgd(int n, real eta, const real *restrict nabla, real *restrict theta)
{
    for (int i = 0; i < n; i++)
        theta[i] -= eta * nabla[i]; /* theta <- theta - eta nabla */
}

INLINED void momentum(int n, real eta, real mu, const real *restrict nabla, real *restrict v,
                      real *restrict theta)
{
    for (int i = 0; i < n; i++) {
        v[i] = mu * v[i] - eta * nabla[i]; /* v <- mu v - eta nabla */
        theta[i] += v[i];                  /* theta <- theta + v */
    }
}

INLINED void nesterov(int n, real eta, real mu, const real *restrict nabla, real *restrict v,
                      real *restrict theta)
{
    for (int i = 0; i < n; i++) {
        v[i] = mu * v[i] - eta * nabla[i];
        theta[i] += mu * v[i] - eta * nabla[i]; /* theta <- theta + mu v - eta nabla */
    }
}

/* v is the plain sum of rho^k nabla^2, and c = 1 / sqrt(1 - rho). */
INLINED void rmsprop(int n, double eta, double rho, double eps, const real *restrict nabla,
                     real *restrict v, real *restrict theta)
{
    const double c = 1 / sqrt(1 - rho);
    const real keep = (real)rho, least = (real)(eps * c), rate = (real)(eta * c);
    for (int i = 0; i < n; i++) {
        v[i] = keep * v[i] + nabla[i] * nabla[i];
        theta[i] -= rate * (nabla[i] / (real_sqrt(v[i]) + least));
    }
}

/* m and v are the plain sums of beta1^k nabla and beta2^k nabla^2 over t steps. */
INLINED void adam(int n, long t, double eta, double beta1, double beta2, double eps,
                  const real *restrict nabla, real *restrict m, real *restrict v,
                  real *restrict theta)
{
    const double sum1 = (1 - pow(beta1, (double)t)) / (1 - beta1);
    const double root2 = sqrt((1 - pow(beta2, (double)t)) / (1 - beta2));
    const real keep1 = (real)beta1, keep2 = (real)beta2;
    const real least = (real)(eps * root2), rate = (real)(eta * root2 / sum1);
    for (int i = 0; i < n; i++) {
        m[i] = keep1 * m[i] + nabla[i];            /* m_hat = m / sum1 */
        v[i] = keep2 * v[i] + nabla[i] * nabla[i]; /* sqrt(v_hat) = sqrt(v) / root2 */
        theta[i] -= rate * (m[i] / (real_sqrt(v[i]) + least));
    }
}

/* AdamW, before Adam: theta <- theta - eta weight_decay theta, of weights. */
INLINED void decay(int n, double eta, double weight_decay, real *restrict theta)
{
    const real keep = (real)(1 - eta * weight_decay);
    for (int i = 0; i < n; i++)
        theta[i] *= keep;
}

#endif
