/* The type of all numbers, and the vectors of them that the processor works on at once. */
#ifndef BACKPROP_REAL_H
#define BACKPROP_REAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef BACKPROP_DOUBLE
typedef double real;
typedef int64_t integer; /* as wide as a real */
#else
typedef float real;
typedef int32_t integer;
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
enum { LANES = VECTOR_BYTES / sizeof(real) };

#ifdef BACKPROP_DOUBLE
#define real_sqrt sqrt
#define real_floor floor
#else
#define real_sqrt sqrtf
#define real_floor floorf
#endif

typedef real vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef integer integers
    __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(integer)), may_alias));

#if defined(__clang__)
#define UNROLLED _Pragma("unroll")
#elif defined(__GNUC__) && defined(__OPTIMIZE__)
#define UNROLLED _Pragma("GCC unroll 16")
#else
#define UNROLLED
#endif
#define INLINED static inline __attribute__((always_inline, unused)) /* sizes become constants */
#define CALLED static __attribute__((noinline, unused))              /* compiled once */

#ifndef PER_THREAD
#define PER_THREAD __thread
#endif

INLINED int at_most(int n, int most) { return n < most ? n : most; }

/* How many parts of a size n makes. */
INLINED int in_parts(int n, int size) { return (n + size - 1) / size; }

/* The sum of sixteen sums, by halves. */
INLINED real total_of(const real *sums)
{
    real halves[8], quarters[4];
    for (int l = 0; l < 8; l++)
        halves[l] = sums[l] + sums[l + 8];
    for (int l = 0; l < 4; l++)
        quarters[l] = halves[l] + halves[l + 4];
    return quarters[0] + quarters[2] + (quarters[1] + quarters[3]);
}

/* The sum of n numbers, in as many sums at first as go on side by side. */
INLINED real sum_of(int n, const real *x)
{
    real sums[16] = {0};
    int i = 0;
    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++)
            sums[l] += x[i + l];
    for (int l = 0; i + l < n; l++)
        sums[l] += x[i + l];
    return total_of(sums);
}

/* The same of products: sum over i of x[i] y[i]. */
INLINED real dot(int n, const real *x, const real *y)
{
    real sums[16] = {0};
    int i = 0;
    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++)
            sums[l] += x[i + l] * y[i + l];
    for (int l = 0; i + l < n; l++)
        sums[l] += x[i + l] * y[i + l];
    return total_of(sums);
}

INLINED void fill(int n, real value, real *x)
{
    for (int i = 0; i < n; i++)
        x[i] = value;
}

INLINED void copy(int n, const real *restrict x, real *restrict y)
{
    memcpy(y, x, sizeof(real) * n);
}

INLINED void add_to(int n, const real *restrict x, real *restrict y)
{
    for (int i = 0; i < n; i++)
        y[i] += x[i];
}

/* columns[i, b] = rows[b, i]: B examples one after another, as features x batch; or back. */
INLINED void transpose(int n, int B, const real *restrict rows, real *restrict columns)
{
    for (int i = 0; i < n; i++)
        for (int b = 0; b < B; b++)
            columns[i * B + b] = rows[b * n + i];
}

INLINED void gather_integers(int B, int n, const int64_t *order, const int32_t *restrict all,
                             int32_t *restrict rows)
{
    for (int b = 0; b < B; b++)
        memcpy(rows + b * n, all + order[b] * n, sizeof(int32_t) * n);
}

INLINED void transpose_integers(int n, int B, const int32_t *restrict rows,
                                int32_t *restrict columns)
{
    for (int i = 0; i < n; i++)
        for (int b = 0; b < B; b++)
            columns[i * B + b] = rows[b * n + i];
}

/* The columns of B examples, the first `count` of them, put among those of N. */
INLINED void put_columns(int n, int B, int64_t count, int64_t N, const real *restrict columns,
                         real *restrict all)
{
    for (int i = 0; i < n; i++)
        memcpy(all + i * N, columns + i * B, sizeof(real) * count);
}

#endif
