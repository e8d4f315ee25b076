/* a = sigma(z), and BP1's and BP2's second factor: delta = dC/da * sigma'(z), in place. */
#ifndef BACKPROP_ACTIVATIONS_H
#define BACKPROP_ACTIVATIONS_H

#include "elementary.h"
#include "team.h"

enum { FAR = 10000 }; /* beyond it sigma is 0 or z, to the last digit */

INLINED void identity_each(int n, const real *restrict z, real *restrict a)
{
    memcpy(a, z, sizeof(real) * n);
}
SHARED(identity)

INLINED void sigmoid_each(int n, const real *restrict z, real *restrict a)
{
    for (int i = 0; i < n; i++)
        a[i] = sigmoid_of(z[i]);
}
SHARED(sigmoid)

INLINED void sigmoid_times_prime_each(int n, const real *restrict a, real *restrict delta)
{
    for (int i = 0; i < n; i++)
        delta[i] *= a[i] * (1 - a[i]);
}
SHARED(sigmoid_times_prime)

INLINED void tanh__each(int n, const real *restrict z, real *restrict a)
{
    for (int i = 0; i < n; i++)
        a[i] = tanh_of(z[i]);
}
SHARED(tanh_)

INLINED void tanh_times_prime_each(int n, const real *restrict a, real *restrict delta)
{
    for (int i = 0; i < n; i++)
        delta[i] *= 1 - a[i] * a[i];
}
SHARED(tanh_times_prime)

INLINED void relu_each(int n, const real *restrict z, real *restrict a)
{
    for (int i = 0; i < n; i++)
        a[i] = z[i] < 0 ? 0 : z[i]; /* NaN stays NaN */
}
SHARED(relu)

INLINED void relu_times_prime_each(int n, const real *restrict z, real *restrict delta)
{
    for (int i = 0; i < n; i++) /* times 1 or 0; for gcc 12, 0 times infinity would be 0 */
        delta[i] = z[i] > 0 ? delta[i] : delta[i] - delta[i];
}
SHARED(relu_times_prime)

INLINED void leaky_relu(int n, real slope, const real *restrict z, real *restrict a)
{
    for (int i = 0; i < n; i++)
        a[i] = z[i] > 0 ? z[i] : slope * z[i];
}

INLINED void leaky_relu_times_prime(int n, real slope, const real *restrict z,
                                    real *restrict delta)
{
    for (int i = 0; i < n; i++)
        delta[i] *= z[i] > 0 ? 1 : slope;
}

INLINED void elu(int n, real alpha, const real *restrict z, real *restrict a)
{
    for (int i = 0; i < n; i++) {
        const real below = alpha * expm1_of(z[i] > 0 ? 0 : z[i]);
        a[i] = z[i] > 0 ? z[i] : below;
    }
}

INLINED void elu_times_prime(int n, real alpha, const real *restrict z, real *restrict delta)
{
    for (int i = 0; i < n; i++) {
        const real below = alpha * exp_of(z[i] > 0 ? 0 : z[i]);
        delta[i] *= z[i] > 0 ? 1 : below;
    }
}

INLINED void gelu_each(int n, const real *restrict z, real *restrict a)
{
    for (int i = 0; i < n; i++) {
        real phi;
        a[i] = (z[i] < -FAR ? -FAR : z[i]) * normal_cdf_and_density(z[i], &phi); /* z Phi(z) */
    }
}
SHARED(gelu)

INLINED void gelu_times_prime_each(int n, const real *restrict z, real *restrict delta)
{
    for (int i = 0; i < n; i++) {
        real phi;
        const real cdf = normal_cdf_and_density(z[i], &phi);
        delta[i] *= cdf + at_most_so_large(FAR, z[i]) * phi;
    }
}
SHARED(gelu_times_prime)

/* The sigmoid, down to 0 itself. */
INLINED real sigmoid_to_0(real z)
{
    const real e = exp_of(z < 0 ? z : -z);
    return (z < 0 ? e : 1) / (1 + e);
}

INLINED real gelu_u(real z)
{
    return (real)0.79788456080286535588 * z * (1 + (real)0.044715 * z * z);
}

INLINED void gelu_tanh_each(int n, const real *restrict z, real *restrict a)
{
    for (int i = 0; i < n; i++) {
        const real s = sigmoid_to_0(2 * gelu_u(between(-FAR, z[i], FAR)));
        a[i] = (z[i] < -FAR ? -FAR : z[i]) * s; /* z (1 + tanh u) / 2 */
    }
}
SHARED(gelu_tanh)

INLINED void gelu_tanh_times_prime_each(int n, const real *restrict z, real *restrict delta)
{
    for (int i = 0; i < n; i++) {
        const real x = between(-FAR, z[i], FAR), s = sigmoid_to_0(2 * gelu_u(x));
        const real u_prime = (real)0.79788456080286535588 * (1 + (real)(3 * 0.044715) * x * x);
        delta[i] *= s * (1 + 2 * x * (1 - s) * u_prime);
    }
}
SHARED(gelu_tanh_times_prime)

INLINED void silu_each(int n, const real *restrict z, real *restrict a)
{
    for (int i = 0; i < n; i++)
        a[i] = (z[i] < -FAR ? -FAR : z[i]) * sigmoid_to_0(z[i]); /* z s(z) */
}
SHARED(silu)

INLINED void silu_times_prime_each(int n, const real *restrict z, real *restrict delta)
{
    for (int i = 0; i < n; i++) {
        const real x = between(-FAR, z[i], FAR), s = sigmoid_to_0(x);
        delta[i] *= s * (1 + x * (1 - s));
    }
}
SHARED(silu_times_prime)

INLINED void softplus_each(int n, const real *restrict z, real *restrict a)
{
    for (int i = 0; i < n; i++) { /* ln(1 + exp z), without overflow */
        const real e = exp_of(z[i] > 0 ? -z[i] : z[i]);
        a[i] = (real)log1p((double)e) + (z[i] > 0 ? z[i] : 0);
    }
}
SHARED(softplus)

INLINED void softplus_times_prime_each(int n, const real *restrict z, real *restrict delta)
{
    for (int i = 0; i < n; i++)
        delta[i] *= sigmoid_of(z[i]);
}
SHARED(softplus_times_prime)

/* Over the first axis of n x m: m is the number of examples, times that of all steps or places. */
INLINED void softmax(int n, int m, const real *restrict z, real *restrict a)
{
    for (int j = 0; j < m; j++) {
        real most = z[j], sum = 0;
        for (int i = 1; i < n; i++)
            most = z[i * m + j] > most || z[i * m + j] != z[i * m + j] ? z[i * m + j] : most;
        for (int i = 0; i < n; i++) {
            a[i * m + j] = exp_of(z[i * m + j] - most);
            sum += a[i * m + j];
        }
        for (int i = 0; i < n; i++)
            a[i * m + j] /= sum;
    }
}

/* delta_i = a_i (nabla_a_i - sum over k of nabla_a_k a_k) */
INLINED void softmax_times_prime(int n, int m, const real *restrict a, real *restrict delta)
{
    for (int j = 0; j < m; j++) {
        real sum = 0;
        for (int i = 0; i < n; i++)
            sum += delta[i * m + j] * a[i * m + j];
        for (int i = 0; i < n; i++)
            delta[i * m + j] = (delta[i * m + j] - sum) * a[i * m + j];
    }
}

#endif
