/* Attention with several heads: the equations of layers/attention.py, a sequence at a time.
 *
 * Inside, the examples come before the steps, so that the steps of a sequence are a matrix: q, k, v
 * and o are d x B x T. A is heads x B x T x T; A[s, t] says how much of step s goes into step t.
 */
#ifndef BACKPROP_ATTENTION_H
#define BACKPROP_ATTENTION_H

#include <float.h>

#include "dense.h"
#include "elementary.h"

#ifdef BACKPROP_DOUBLE
#define LEAST_REAL (-DBL_MAX)
#else
#define LEAST_REAL (-FLT_MAX)
#endif

/* d x T x B as d x B x T. */
INLINED void examples_first(int d, int T, int B, const real *restrict x, real *restrict y)
{
    for (int i = 0; i < d; i++)
        transpose(B, T, x + i * T * B, y + i * T * B);
}

/* d x B x T as d x T x B. */
INLINED void steps_first(int d, int T, int B, const real *restrict y, real *restrict x)
{
    for (int i = 0; i < d; i++)
        transpose(T, B, y + i * T * B, x + i * T * B);
}

INLINED void add_biases(int d, int m, const real *restrict b, real *restrict z)
{
    for (int j = 0; j < d; j++)
        for (int x = 0; x < m; x++)
            z[j * m + x] += b[j];
}

/* q = w_q a_prev + b_q, k = w_k a_prev, v = w_v a_prev + b_v; m is B T. */
INLINED void attention_qkv(int d, int m, const real *w_qkv, const real *b_q, const real *b_v,
                           const real *a_prev, real *qkv)
{
    times(3 * d, m, d, w_qkv, a_prev, qkv, 0);
    add_biases(d, m, b_q, qkv);
    add_biases(d, m, b_v, qkv + 2 * d * m);
}

/* The product of the T x n matrix that u is, transposed, with v: each has rows of T numbers, `far`
 * from one another. */
INLINED void of_all_pairs(int n, int T, long far, const real *u, const real *v, real *pairs)
{
    blocked_product(T, T, n, u, 1, far, v, far, 1, pairs, T, 0);
}

/* Every column of S made weights, in place: softmax over the keys s that a query may look at.
 * `mask` says which steps of the sequence are real, `far` from one another; NULL that all are.
 * `most` and `sum` are room for T numbers each. */
INLINED void attention_softmax(int T, int causal, real factor, const uint8_t *mask, int far,
                               real *restrict S, real *restrict most, real *restrict sum)
{
    fill(T, LEAST_REAL, most);
    fill(T, 0, sum);
    for (int s = 0; s < T; s++) {
        const int first = mask && !mask[s * far] ? T : causal ? s : 0; /* that may look at s */
        for (int t = 0; t < T; t++) {
            const real scaled = S[s * T + t] * factor;
            const real of_pair = t < first ? -(real)INFINITY : scaled;
            S[s * T + t] = of_pair;
            most[t] = of_pair > most[t] ? of_pair : most[t];
        }
    }
    for (int s = 0; s < T; s++)
        for (int t = 0; t < T; t++) {
            S[s * T + t] = exp_of(S[s * T + t] - most[t]);
            sum[t] += S[s * T + t];
        }
    for (int t = 0; t < T; t++)
        sum[t] = 1 / (sum[t] == 0 ? 1 : sum[t]); /* 0: nothing is left to look at */
    for (int s = 0; s < T; s++)
        for (int t = 0; t < T; t++)
            S[s * T + t] *= sum[t];
}

/* delta_S = A * (nabla_A - sum_s A nabla_A), times the 1 / sqrt(d_h) of S; nabla_A, in place. */
INLINED void attention_softmax_back(int T, real factor, const real *restrict A,
                                    real *restrict delta_S, real *restrict sum)
{
    fill(T, 0, sum);
    for (int s = 0; s < T; s++)
        for (int t = 0; t < T; t++)
            sum[t] += A[s * T + t] * delta_S[s * T + t];
    for (int s = 0; s < T; s++)
        for (int t = 0; t < T; t++)
            delta_S[s * T + t] = A[s * T + t] * (delta_S[s * T + t] - sum[t]) * factor;
}

/* S, A and o of all heads and sequences; of A all are kept, or the room of one is used again. */
INLINED void attention_heads(int d_h, int heads, int T, int B, int causal, real factor, int keep,
                             const uint8_t *mask, const real *q, const real *k, const real *v,
                             real *all_A, real *o, real *room)
{
    const long far = (long)B * T;
    for (int h = 0; h < heads; h++)
        for (int x = 0; x < B; x++) {
            const long of_head = h * d_h * far + x * T;
            real *A = all_A + (keep ? (long)(h * B + x) * T * T : 0);
            of_all_pairs(d_h, T, far, k + of_head, q + of_head, A); /* S = k^T q */
            attention_softmax(T, causal, factor, mask ? mask + x : mask, B, A, room, room + T);
            blocked_product(d_h, T, T, v + of_head, far, 1, A, T, 1, o + of_head, far,
                            0); /* o = v A */
        }
}

/* The same back, from nabla_o to the delta of q, k and v. */
INLINED void attention_heads_back(int d_h, int heads, int T, int B, real factor, const real *q,
                                  const real *k, const real *v, const real *all_A,
                                  const real *nabla_o, real *delta_q, real *delta_k,
                                  real *delta_v, real *room)
{
    const long far = (long)B * T;
    real *delta_S = room + T;
    for (int h = 0; h < heads; h++)
        for (int x = 0; x < B; x++) {
            const long of_head = h * d_h * far + x * T;
            const real *A = all_A + (long)(h * B + x) * T * T, *from_o = nabla_o + of_head;
            blocked_product(d_h, T, T, from_o, far, 1, A, 1, T, delta_v + of_head, far,
                            0); /* delta_v = nabla_o A^T */
            of_all_pairs(d_h, T, far, v + of_head, from_o, delta_S); /* nabla_A = v^T nabla_o */
            attention_softmax_back(T, factor, A, delta_S, room);
            blocked_product(d_h, T, T, k + of_head, far, 1, delta_S, T, 1, delta_q + of_head, far,
                            0); /* delta_q = k delta_S */
            blocked_product(d_h, T, T, q + of_head, far, 1, delta_S, 1, T, delta_k + of_head, far,
                            0); /* delta_k = q delta_S^T */
        }
}

#endif
