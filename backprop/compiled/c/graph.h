/* The operations of graphs, each beside its way back, as in graph/: upstream * local = downstream.
 *
 * All arrays are n x B, or n numbers that are the same for every example, which `spread` lays out.
 * The functions are those of libm, with what it makes of the edges of their domains.
 */
#ifndef BACKPROP_GRAPH_H
#define BACKPROP_GRAPH_H

#include "real.h"

/* What is the same for every example, once for each. */
INLINED void spread(int n, int B, const real *restrict u, real *restrict a)
{
    for (int i = 0; i < n; i++)
        for (int x = 0; x < B; x++)
            a[i * B + x] = u[i];
}

/* BP3: its gradient is the sum over the examples. */
INLINED void sum_examples(int n, int B, const real *nabla, real *sum)
{
    for (int i = 0; i < n; i++)
        sum[i] = sum_of(B, nabla + i * B);
}

/* A forward function of n numbers, and what it sends down: each line is one of its derivatives. */
#define FOR_EACH(name, value) \
    INLINED void name(int n, const real *u, const real *v, const real *a, real *into) \
    { \
        (void)u, (void)v, (void)a; \
        for (int i = 0; i < n; i++) \
            into[i] = value; \
    }
#define BACK(name, slope) \
    INLINED void name(int n, const real *nabla_a, const real *u, const real *v, const real *a, \
                      real *restrict nabla) \
    { \
        (void)u, (void)v, (void)a; \
        for (int i = 0; i < n; i++) \
            nabla[i] = nabla_a[i] * (slope); \
    }
#define OF_LIBM(function, x) ((real)function((double)(x)))

/* u^v; of v = 0 it is 1 everywhere, and its slope by u is 0. */
INLINED real power(real u, real v) { return (real)pow((double)u, (double)v); }
INLINED real power_by_u(real u, real v) { return v * power(u, v - (v != 0 ? 1 : 0)); }
INLINED real power_by_v(real u, real v, real a) /* a ln u, and 0 at u = 0 where v >= 0 */
{
    return a * (u != 0 || v < 0 ? OF_LIBM(log, u) : 0);
}

FOR_EACH(graph_add, u[i] + v[i])
BACK(graph_add_by_u, 1)
BACK(graph_add_by_v, 1)
FOR_EACH(graph_subtract, u[i] - v[i])
BACK(graph_subtract_by_u, 1)
BACK(graph_subtract_by_v, -1)
FOR_EACH(graph_multiply, u[i] * v[i])
BACK(graph_multiply_by_u, v[i])
BACK(graph_multiply_by_v, u[i])
FOR_EACH(graph_divide, u[i] / v[i])
BACK(graph_divide_by_u, 1 / v[i])
BACK(graph_divide_by_v, -a[i] / v[i])
FOR_EACH(graph_power, power(u[i], v[i]))
BACK(graph_power_by_u, power_by_u(u[i], v[i]))
BACK(graph_power_by_v, power_by_v(u[i], v[i], a[i]))
FOR_EACH(graph_exp, OF_LIBM(exp, u[i]))
BACK(graph_exp_by_u, a[i])
FOR_EACH(graph_log, OF_LIBM(log, u[i]))
BACK(graph_log_by_u, 1 / u[i])
FOR_EACH(graph_sqrt, real_sqrt(u[i]))
BACK(graph_sqrt_by_u, (real)0.5 / a[i])
FOR_EACH(graph_sin, OF_LIBM(sin, u[i]))
BACK(graph_sin_by_u, OF_LIBM(cos, u[i]))
FOR_EACH(graph_cos, OF_LIBM(cos, u[i]))
BACK(graph_cos_by_u, -OF_LIBM(sin, u[i]))

/* a = w v for every example by itself: w is m x n x B, v n x k x B and a m x k x B. */
INLINED void matmul_each(int m, int n, int k, int B, const real *restrict w,
                         const real *restrict v, real *restrict a)
{
    fill(m * k * B, 0, a);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            for (int l = 0; l < k; l++)
                for (int x = 0; x < B; x++)
                    a[(i * k + l) * B + x] += w[(i * n + j) * B + x] * v[(j * k + l) * B + x];
}

/* Back: dC/dw = nabla_a v^T, dC/dv = w^T nabla_a. */
INLINED void matmul_each_by_w(int m, int n, int k, int B, const real *restrict nabla_a,
                              const real *restrict v, real *restrict nabla_w)
{
    fill(m * n * B, 0, nabla_w);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            for (int l = 0; l < k; l++)
                for (int x = 0; x < B; x++)
                    nabla_w[(i * n + j) * B + x] +=
                        nabla_a[(i * k + l) * B + x] * v[(j * k + l) * B + x];
}

INLINED void matmul_each_by_v(int m, int n, int k, int B, const real *restrict w,
                              const real *restrict nabla_a, real *restrict nabla_v)
{
    fill(n * k * B, 0, nabla_v);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            for (int l = 0; l < k; l++)
                for (int x = 0; x < B; x++)
                    nabla_v[(j * k + l) * B + x] +=
                        w[(i * n + j) * B + x] * nabla_a[(i * k + l) * B + x];
}

/* One number an example: the sum of n; back the same goes to all of them. */
INLINED void graph_sum(int n, int B, const real *restrict u, real *restrict a)
{
    fill(B, 0, a);
    for (int i = 0; i < n; i++)
        add_to(B, u + i * B, a);
}

INLINED void graph_sum_back(int n, int B, const real *restrict nabla_a, real *restrict nabla)
{
    for (int i = 0; i < n; i++)
        copy(B, nabla_a, nabla + i * B);
}

#endif
