/* Recurrent layers, a step at a time: the cells' equations, as in layers/recurrent/.
 *
 * What goes into a step stands in one array, x_t, 1 and h_{t-1} below one another, so that all of
 *
 *     z_t = w x_t + w_h h_{t-1} + b
 *
 * is one product, of [w b w_h] with it. Of a step z, the state, the gates and delta are rows x B,
 * one step after another in memory; x, a and the delta of all steps are rows x T x B.
 */
#ifndef BACKPROP_RECURRENT_H
#define BACKPROP_RECURRENT_H

#include "elementary.h"
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

/* What goes into step t: x_t, 1 and h. */
INLINED void recurrent_enter(int n_in, int n, int T, int B, int t, const real *restrict x,
                             const real *restrict h, real *restrict entering)
{
    for (int i = 0; i < n_in; i++)
        memcpy(entering + i * B, x + (i * T + t) * B, sizeof(real) * B);
    for (int j = 0; j < B; j++)
        entering[n_in * B + j] = 1;
    memcpy(entering + (n_in + 1) * B, h, sizeof(real) * n * B);
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

INLINED void lstm_step(int m, const real *restrict z, const real *restrict c_before,
                       real *restrict gates, real *restrict c, real *restrict tanh_c,
                       real *restrict h)
{
    for (int x = 0; x < m; x++) {
        const real i = sigmoid_of(z[x]), f = sigmoid_of(z[m + x]);
        const real o = sigmoid_of(z[2 * m + x]), g = tanh_of(z[3 * m + x]);
        const real c_t = f * c_before[x] + i * g; /* c_t = f * c_{t-1} + i * g */
        const real tanh_c_t = tanh_of(c_t);
        gates[x] = i, gates[m + x] = f, gates[2 * m + x] = o, gates[3 * m + x] = g;
        c[x] = c_t, tanh_c[x] = tanh_c_t;
        h[x] = o * tanh_c_t; /* h_t = o * tanh(c_t) */
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
INLINED void gru_weighted_input(int n, int n_in, int B, const real *w_b_h, const real *b_h_w,
                                const real *entering, real *z, real *q)
{
    const int K = n_in + 1 + n;
    blocked_product(2 * n, B, K, w_b_h, K, 1, entering, B, 1, z, B, 0);
    blocked_product(n, B, n_in + 1, w_b_h + 2 * n * K, K, 1, entering, B, 1, z + 2 * n * B, B, 0);
    blocked_product(n, B, 1 + n, b_h_w, 1 + n, 1, entering + n_in * B, B, 1, q, B, 0);
}

INLINED void gru_step(int m, real *restrict z, const real *restrict q,
                      const real *restrict h_before, real *restrict gates, real *restrict h)
{
    for (int x = 0; x < m; x++) {
        const real r = sigmoid_of(z[x]), u = sigmoid_of(z[m + x]);
        const real z_g = z[2 * m + x] + r * q[x]; /* z_g = w_g x_t + r * q + b_g */
        const real g = tanh_of(z_g);
        z[2 * m + x] = z_g;
        gates[x] = r, gates[m + x] = u, gates[2 * m + x] = g;
        h[x] = g + u * (h_before[x] - g); /* h_t = (1 - u) * g + u * h_{t-1} */
    }
}

/* delta_h is what w_h^T is multiplied by: delta_r, delta_u and delta_q. */
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

/* -- BP4 of w_h ------------------------------------------------------------------------------- */

/* dC/dw_h = sum over t of delta_t h_{t-1}^T, of the steps from first on. What goes into a step as h
 * is the a of the step before, of the first h_0; in reverse that is the last. */
INLINED void recurrent_weight_gradient(int rows, int n, int T, int B, int reverse,
                                       const real *delta, const real *a, const real *h_0,
                                       real *nabla_w_h)
{
    const int first = reverse ? T - 1 : 0, others = reverse ? 0 : 1, before = reverse ? 1 : 0;
    blocked_product(rows, n, B, delta + first * B, T * B, 1, h_0, 1, B, nabla_w_h, n, 0);
    blocked_product(rows, n, (T - 1) * B, delta + others * B, T * B, 1, a + before * B, 1, T * B,
                    nabla_w_h, n, 1);
}

#endif
