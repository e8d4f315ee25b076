/* Recurrent layers, a step at a time: the cells' equations, as in layers/recurrent/.
 *
 * What goes into the steps stands in one array, x_t, 1 and h_{t-1} below one another, so that all
 * of z_t = w x_t + w_h h_{t-1} + b is one product, of [w b w_h] with it, and BP3 and BP4 are one,
 * too. Like x, a and the delta of all steps it is rows x T x B; z, the states and the gates are
 * T x rows x B, where a step is one piece of memory.
 */
#ifndef BACKPROP_RECURRENT_H
#define BACKPROP_RECURRENT_H

#include "activations.h"
#include "product.h"

/* [w b w_h], or of w = NULL [b w_h], row by row. */
INLINED void recurrent_weights(int rows, int n_in, int n, const real *w, const real *b,
                               const real *w_h, real *restrict all)
{
    const int K = n_in + 1 + n;
    for (int j = 0; j < rows; j++) {
        if (n_in)
            memcpy(all + j * K, w + j * n_in, sizeof(real) * n_in);
        all[j * K + n_in] = b[j];
        memcpy(all + j * K + n_in + 1, w_h + j * n, sizeof(real) * n);
    }
}

/* The first rows of what goes into the steps: x_t and 1. */
INLINED void recurrent_enter(int n_in, int m, const real *restrict x, real *restrict entering)
{
    memcpy(entering, x, sizeof(real) * n_in * m);
    for (int i = 0; i < m; i++)
        entering[n_in * m + i] = 1;
}

/* z_t = w x_t + w_h h_{t-1} + b; K rows go into the step. */
INLINED void recurrent_weighted_input(int rows, int K, int T, int B, int t, const real *w_b_h,
                                      const real *entering, real *z)
{
    blocked_product(rows, B, K, w_b_h, K, 1, entering + t * B, T * B, 1, z, B, 0);
}

/* BP3 and BP4, sums over steps and batch: dC/dw = sum of delta_t x_t^T, dC/db = sum of delta_t and
 * dC/dw_h = sum of delta_t h_{t-1}^T are one product; or without w only the last two. */
INLINED void recurrent_gradients(int rows, int n_in, int n, int m, const real *delta,
                                 const real *entering, real *restrict nabla_w_b_h,
                                 real *restrict nabla_w, real *restrict nabla_b,
                                 real *restrict nabla_w_h)
{
    const int K = n_in + 1 + n;
    times_transposed(rows, K, m, delta, entering, nabla_w_b_h, 0);
    for (int j = 0; j < rows; j++) {
        if (n_in)
            memcpy(nabla_w + j * n_in, nabla_w_b_h + j * K, sizeof(real) * n_in);
        nabla_b[j] = nabla_w_b_h[j * K + n_in];
        if (n)
            memcpy(nabla_w_h + j * n, nabla_w_b_h + j * K + n_in + 1, sizeof(real) * n);
    }
}

/* Put rows x B among those of all steps, as step t of rows x T x B. */
INLINED void put_step(int rows, int T, int B, int t, const real *restrict step,
                      real *restrict steps)
{
    for (int i = 0; i < rows; i++)
        memcpy(steps + (i * T + t) * B, step + i * B, sizeof(real) * B);
}

/* Add step t of rows x T x B: nabla_h = nabla_a_t + w_h^T delta_{t+1}. */
INLINED void add_step(int rows, int T, int B, int t, const real *restrict steps,
                      real *restrict step)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < B; j++)
            step[i * B + j] += steps[(i * T + t) * B + j];
}

/* -- padding: there the state stays, and the gradient by it passes through --------------------- */

INLINED void stay_at_padding(int rows, int B, const uint8_t *restrict mask,
                             const real *restrict before, real *restrict after)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < B; j++)
            after[i * B + j] = mask[j] ? after[i * B + j] : before[i * B + j];
}

INLINED void count_real_steps(int T, int B, const uint8_t *restrict mask,
                              int32_t *restrict count)
{
    for (int j = 0; j < B; j++)
        count[j] = 0;
    for (int t = 0; t < T; t++)
        for (int j = 0; j < B; j++)
            count[j] += mask[t * B + j];
}

/* Cut the gradient by the state where a chunk of k real steps begins. `count` is how many of them
 * have been run, this one included; afterwards without it. */
INLINED void cut_chunk(int rows, int B, int k, const uint8_t *restrict mask,
                       int32_t *restrict count, real *restrict nabla)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < B; j++)
            nabla[i * B + j] = mask[j] && (count[j] - 1) % k == 0 ? 0 : nabla[i * B + j];
    for (int j = 0; j < B; j++)
        count[j] -= mask[j];
}

/* -- LSTM: of m = n B numbers; z and the gates are i, f, o and g, one after another ------------ */

/* The sigmoid as (1 + tanh(z / 2)) / 2: what counts of a gate is the error beside 1. */
INLINED void gate(int m, const real *restrict z, real *restrict a)
{
    for (int x = 0; x < m; x++)
        a[x] = tanh_of((real)0.5 * z[x]) * (real)0.5 + (real)0.5;
}

INLINED void lstm_step(int m, const real *restrict z, const real *restrict c_before,
                       real *restrict gates, real *restrict c, real *restrict tanh_c,
                       real *restrict h)
{
    const real *i = gates, *f = gates + m, *o = gates + 2 * m, *g = gates + 3 * m;
    gate(3 * m, z, gates);              /* i, f, o = s(z_i), s(z_f), s(z_o) */
    tanh_(m, z + 3 * m, gates + 3 * m); /* g = tanh(z_g) */
    for (int x = 0; x < m; x++) {
        c[x] = f[x] * c_before[x] + i[x] * g[x]; /* c_t = f * c_{t-1} + i * g */
        tanh_c[x] = tanh_of(c[x]);
        h[x] = o[x] * tanh_c[x]; /* h_t = o * tanh(c_t) */
    }
}

INLINED void lstm_step_back(int m, const real *restrict gates, const real *restrict c_before,
                            const real *restrict tanh_c, const real *restrict nabla_h,
                            real *restrict nabla_c, real *restrict delta)
{
    for (int x = 0; x < m; x++) {
        const real i = gates[x], f = gates[m + x], o = gates[2 * m + x], g = gates[3 * m + x];
        const real nabla = nabla_c[x] + nabla_h[x] * o * (1 - tanh_c[x] * tanh_c[x]);
        delta[x] = nabla * g * (i * (1 - i)); /* BP2: * sigma'(z) of each gate */
        delta[m + x] = nabla * c_before[x] * (f * (1 - f));
        delta[2 * m + x] = nabla_h[x] * tanh_c[x] * (o * (1 - o));
        delta[3 * m + x] = nabla * i * (1 - g * g);
        nabla_c[x] = nabla * f; /* dC/dc_{t-1} */
    }
}

/* -- GRU: z and the gates are r, u and g ------------------------------------------------------- */

/* z_r, z_u, w_g x_t + b_g, and q = w_hg h_{t-1} + b_h, which goes through the reset gate. */
INLINED void gru_weighted_input(int n, int n_in, int T, int B, int t, const real *w_b_h,
                                const real *b_h_w, const real *entering, real *z, real *q)
{
    const int K = n_in + 1 + n, m = T * B;
    const real *x = entering + t * B, *one = x + n_in * m;
    blocked_product(2 * n, B, K, w_b_h, K, 1, x, m, 1, z, B, 0);
    blocked_product(n, B, n_in + 1, w_b_h + 2 * n * K, K, 1, x, m, 1, z + 2 * n * B, B, 0);
    blocked_product(n, B, 1 + n, b_h_w, 1 + n, 1, one, m, 1, q, B, 0);
}

INLINED void gru_step(int m, real *restrict z, const real *restrict q,
                      const real *restrict h_before, real *restrict gates, real *restrict h)
{
    const real *r = gates, *u = gates + m;
    real *z_g = z + 2 * m, *g = gates + 2 * m;
    gate(2 * m, z, gates); /* r, u = s(z_r), s(z_u) */
    for (int x = 0; x < m; x++) {
        z_g[x] += r[x] * q[x]; /* z_g = w_g x_t + r * q + b_g */
        g[x] = tanh_of(z_g[x]);
        h[x] = g[x] + u[x] * (h_before[x] - g[x]); /* h_t = (1 - u) * g + u * h_{t-1} */
    }
}

INLINED void gru_step_back(int m, const real *restrict gates, const real *restrict q,
                           const real *restrict h_before, real *restrict nabla_h,
                           real *restrict delta, real *restrict delta_h)
{
    for (int x = 0; x < m; x++) {
        const real r = gates[x], u = gates[m + x], g = gates[2 * m + x];
        const real delta_g = nabla_h[x] * (1 - u) * (1 - g * g); /* BP2: * tanh'(z_g) */
        const real delta_r = delta_g * q[x] * (r * (1 - r));
        const real delta_u = nabla_h[x] * (h_before[x] - g) * (u * (1 - u));
        delta[x] = delta_h[x] = delta_r;
        delta[m + x] = delta_h[m + x] = delta_u;
        delta[2 * m + x] = delta_g;
        delta_h[2 * m + x] = delta_g * r; /* delta_q */
        nabla_h[x] *= u;                  /* the way past the gates, to h_{t-1} */
    }
}

#endif
