/* Matrix products: the arithmetic of dense, convolutional, recurrent and attention layers.
 *
 * c is m x n and the sum goes over K; all matrices are row after row. `plain_product` says what is
 * computed; the others compute the same, so many rows and columns at a time as fit in registers.
 */
#ifndef BACKPROP_PRODUCT_H
#define BACKPROP_PRODUCT_H

#include "team.h"

/* c[i, j] = sum over k of a[i, k] b[k, j], added to what c was if `add`, to bias[i] if there is a
 * bias: a[i, k] is a[i * a_i + k * a_k], and b and c likewise. */
INLINED void plain_product(int m, int n, int K, const real *a, long a_i, long a_k, const real *b,
                           long b_k, long b_j, real *c, long c_i, int add, const real *bias)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            real sum = bias ? bias[i] : add ? c[i * c_i + j] : 0;
            for (int k = 0; k < K; k++)
                sum += a[i * a_i + k * a_k] * b[k * b_k + j * b_j];
            c[i * c_i + j] = sum;
        }
}

/* -- a tile of c: R rows by V vectors of columns, which stay in registers while k runs -------- */

#if defined(__AVX512F__) || defined(__aarch64__) /* 32 registers */
#define MOST_ROWS 12
#define MOST_DOTS 5
#else /* 16 */
#define MOST_ROWS 6
#define MOST_DOTS 3
#endif
enum { MOST_VECTORS = 2, PANEL = MOST_VECTORS * LANES, BLOCK_K = 400, BLOCK_N = 512, SHALLOW = 16 };

INLINED void tile(const int R, const int V, int K, const real *a, long a_i, long a_k,
                  const real *b, long b_k, real *c, long c_i, int add, const real *bias)
{
    vector sum[MOST_ROWS][MOST_VECTORS];
    UNROLLED for (int i = 0; i < R; i++)
        UNROLLED for (int v = 0; v < V; v++)
            sum[i][v] = (vector){0} + (bias ? bias[i] : 0);
    for (int k = 0; k < K; k++)
        UNROLLED for (int i = 0; i < R; i++) {
            const real of_a = a[i * a_i + k * a_k];
            UNROLLED for (int v = 0; v < V; v++)
                sum[i][v] += of_a * *(const vector *)(b + k * b_k + v * LANES);
        }
    UNROLLED for (int i = 0; i < R; i++)
        UNROLLED for (int v = 0; v < V; v++) {
            vector *of_c = (vector *)(c + i * c_i + v * LANES);
            if (add)
                sum[i][v] += *of_c;
            *of_c = sum[i][v];
        }
}

/* Tiles of so many rows that the compiler knows how many: an even number of them, and one. */
CALLED void tile_of_rows(int rows, int vectors, int K, const real *a, long a_i, long a_k,
                         const real *b, long b_k, real *c, long c_i, int add, const real *bias)
{
    for (int R; rows > 0; rows -= R, a += R * a_i, c += R * c_i, bias = bias ? bias + R : NULL) {
        R = rows > 1 ? rows / 2 * 2 : 1;
        switch (R * 2 + vectors - 1) {
#define CASE(R) \
    case R * 2: tile(R, 1, K, a, a_i, a_k, b, b_k, c, c_i, add, bias); break; \
    case R * 2 + 1: tile(R, 2, K, a, a_i, a_k, b, b_k, c, c_i, add, bias); break;
            CASE(1) CASE(2) CASE(4) CASE(6)
#if MOST_ROWS == 12
            CASE(8) CASE(10) CASE(12)
#endif
#undef CASE
        }
    }
}

/* Rows of c, `columns` of them, at most PANEL; what does not fill a vector goes elsewhere first. */
INLINED void panel(int rows, int columns, int K, const real *a, long a_i, long a_k, const real *b,
                   long b_k, real *c, long c_i, int add, const real *bias)
{
    const int vectors = columns > LANES ? 2 : 1;
    if (columns == vectors * LANES) {
        tile_of_rows(rows, vectors, K, a, a_i, a_k, b, b_k, c, c_i, add, bias);
        return;
    }
    real wider[MOST_ROWS * PANEL];
    tile_of_rows(rows, vectors, K, a, a_i, a_k, b, b_k, wider, PANEL, 0, bias);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            c[i * c_i + j] = (add ? c[i * c_i + j] : 0) + wider[i * PANEL + j];
}

/* Lay K numbers of so many columns, each of which is one piece of memory, beside one another. */
INLINED void plain_pack_turned(int K, int columns, const real *b, long b_j, real *packed)
{
    for (int j = 0; j < columns; j++)
        for (int k = 0; k < K; k++)
            packed[k * PANEL + j] = b[j * b_j + k];
}

#if defined(__GNUC__) && !defined(__clang__)
typedef integer lanes __attribute__((vector_size(VECTOR_BYTES)));

/* LANES columns of as many numbers, turned into rows in registers: first pairs of numbers change
 * places, then pairs of pairs, and so on. */
INLINED void turn(const real *columns, long stride, real *rows, long width)
{
    vector v[LANES];
    lanes lane;
    UNROLLED for (int l = 0; l < LANES; l++)
        lane[l] = l;
    UNROLLED for (int i = 0; i < LANES; i++)
        v[i] = *(const vector *)(columns + i * stride);
    UNROLLED for (int s = 1; s < LANES; s *= 2) {
        const lanes low = lane - ((lane & s) != 0) * (LANES - s), high = low + s;
        UNROLLED for (int i = 0; i < LANES; i++)
            if (!(i & s)) {
                const vector a = v[i], b = v[i + s];
                v[i] = __builtin_shuffle(a, b, low);
                v[i + s] = __builtin_shuffle(a, b, high);
            }
    }
    UNROLLED for (int i = 0; i < LANES; i++)
        *(vector *)(rows + i * width) = v[i];
}

/* `plain_pack_turned`, as many columns at a time as fill a vector. */
CALLED void pack_turned(int K, int columns, const real *b, long b_j, real *packed)
{
    const int whole = columns / LANES * LANES, deep = K / LANES * LANES;
    for (int j = 0; j < whole; j += LANES) {
        for (int k = 0; k < deep; k += LANES)
            turn(b + j * b_j + k, b_j, packed + k * PANEL + j, PANEL);
        plain_pack_turned(K - deep, LANES, b + j * b_j + deep, b_j, packed + deep * PANEL + j);
    }
    plain_pack_turned(K, columns - whole, b + whole * b_j, b_j, packed + whole);
}
#else
#define pack_turned plain_pack_turned
#endif

/* Lay K rows of b, `columns` numbers of each, one after another, and zeros up to PANEL. */
INLINED void pack(int K, int columns, const real *b, long b_k, long b_j, real *packed)
{
    if (columns < PANEL)
        memset(packed, 0, sizeof(real) * K * PANEL);
    if (b_j == 1 && columns == PANEL)
        for (int k = 0; k < K; k++)
            memcpy(packed + k * PANEL, b + k * b_k, sizeof(real) * PANEL);
    else if (b_j == 1)
        for (int k = 0; k < K; k++)
            for (int j = 0; j < columns; j++)
                packed[k * PANEL + j] = b[k * b_k + j];
    else if (b_k == 1)
        pack_turned(K, columns, b, b_j, packed);
    else
        for (int j = 0; j < columns; j++)
            for (int k = 0; k < K; k++)
                packed[k * PANEL + j] = b[j * b_j + k * b_k];
}

/* Lay so many rows of a beside one another, number by number. */
INLINED void pack_rows(int rows, int K, const real *a, long a_i, long a_k, real *packed)
{
    if (a_i == 1 && rows == MOST_ROWS)
        for (int k = 0; k < K; k++) {
            memcpy(packed + k * MOST_ROWS, a + k * a_k, sizeof(real) * MOST_ROWS);
            __builtin_prefetch(a + k * a_k + 2 * MOST_ROWS - 1); /* of the next rows */
        }
    else
        for (int k = 0; k < K; k++)
            for (int r = 0; r < rows; r++)
                packed[k * MOST_ROWS + r] = a[r * a_i + k * a_k];
}

/* What threads share of a product: a block of b by all rows of a. */
struct block {
    long number; /* of all blocks that there have been */
    int m, wide, deep, rows; /* so many rows of c are a part of the work */
    const real *a, *b;
    long a_i, a_k, b_k, b_j, c_i;
    real *c;
    int add;
    const real *bias;
};

/* Each thread lays b together for itself: from another core the numbers come as fast as they are,
 * and what was laid together there would have to come as well. A few rows stay where they are. */
static void rows_of_block(void *work, int part)
{
    static PER_THREAD real of_a[MOST_ROWS * BLOCK_K] __attribute__((aligned(64)));
    static PER_THREAD real of_b[BLOCK_N * BLOCK_K] __attribute__((aligned(64)));
    static PER_THREAD long number; /* of the block that is in of_b */
    const struct block *const block = work;
    const int end = at_most(block->m, (part + 1) * block->rows), deep = block->deep;
    for (int i = part * block->rows; i < end; i += MOST_ROWS) {
        const int rows = at_most(end - i, MOST_ROWS), near = block->a_k == 1;
        const real *a = block->a + i * block->a_i, *bias = block->bias ? block->bias + i : NULL;
        if (!near) /* its numbers are laid together, too */
            pack_rows(rows, deep, a, block->a_i, block->a_k, of_a);
        for (int j = 0; j < block->wide; j += PANEL) {
            const int columns = at_most(block->wide - j, PANEL);
            const real *const b = block->b + j * block->b_j;
            const int there = deep <= SHALLOW && block->b_j == 1 && columns % LANES == 0;
            real *const of_panel = of_b + j * deep;
            if (number != block->number && !there)
                pack(deep, columns, b, block->b_k, block->b_j, of_panel);
            panel(rows, columns, deep, near ? a : of_a, near ? block->a_i : 1,
                  near ? 1 : MOST_ROWS, there ? b : of_panel, there ? block->b_k : PANEL,
                  block->c + i * block->c_i + j, block->c_i, block->add, bias);
        }
        number = block->number;
    }
}

/* `plain_product`, in blocks of b that stay in the cache; shared among threads where it is worth
 * while: PART products are, and several parts of a quarter are evened out better. */
CALLED void blocked_product_plus(int m, int n, int K, const real *a, long a_i, long a_k,
                                 const real *b, long b_k, long b_j, real *c, long c_i, int add,
                                 const real *bias)
{
    static PER_THREAD long number;
    enum { PART = 1 << 20, PARTS = 32 };
    const int blocks = in_parts(K, BLOCK_K), depth = blocks ? in_parts(K, blocks) : 1;
    for (int j = 0; j < n; j += BLOCK_N)
        for (int k = 0; k < K; k += depth) {
            const int wide = at_most(n - j, BLOCK_N), deep = at_most(K - k, depth);
            const long work = (long)m * wide * deep, whole = (work + PART - 1) / PART;
            const int shares = at_most((int)(whole < 4 ? whole : 4 * whole), PARTS);
            const int tiles = (m + shares * MOST_ROWS - 1) / (shares * MOST_ROWS);
            const int rows = tiles * MOST_ROWS;
            struct block block = {++number, m, wide, deep, rows, a + k * a_k,
                                  b + k * b_k + j * b_j, a_i, a_k, b_k, b_j, c_i, c + j,
                                  add || k > 0, k > 0 ? NULL : bias};
            share(in_parts(m, rows), rows_of_block, &block);
        }
}

INLINED void blocked_product(int m, int n, int K, const real *a, long a_i, long a_k, const real *b,
                             long b_k, long b_j, real *c, long c_i, int add)
{
    blocked_product_plus(m, n, K, a, a_i, a_k, b, b_k, b_j, c, c_i, add, NULL);
}

/* -- long dot products: where c is small, and K is not ---------------------------------------- */

INLINED void dots(const int I, const int J, int K, const real *a, const real *b, real *c,
                  long c_i, int add, const real *bias)
{
    vector sum[MOST_DOTS][MOST_DOTS];
    UNROLLED for (int i = 0; i < I; i++)
        UNROLLED for (int j = 0; j < J; j++)
            sum[i][j] = (vector){0};
    int k = 0;
    for (; k + LANES <= K; k += LANES)
        UNROLLED for (int i = 0; i < I; i++)
            UNROLLED for (int j = 0; j < J; j++)
                sum[i][j] += *(const vector *)(a + i * (long)K + k)
                             * *(const vector *)(b + j * (long)K + k);
    for (int i = 0; i < I; i++)
        for (int j = 0; j < J; j++) {
            real lanes[LANES];
            memcpy(lanes, &sum[i][j], sizeof lanes);
            for (int l = 0; l < LANES && k + l < K; l++)
                lanes[l] += a[i * (long)K + k + l] * b[j * (long)K + k + l];
            UNROLLED for (int half = LANES / 2; half > 0; half /= 2)
                for (int l = 0; l < half; l++)
                    lanes[l] += lanes[l + half];
            const real total = lanes[0] + (bias ? bias[i] : add ? c[i * c_i + j] : 0);
            c[i * c_i + j] = total;
        }
}

CALLED void all_dots(int m, int n, int K, const real *a, const real *b, real *c, int add,
                     const real *bias)
{
    long i = 0;
    for (; i + MOST_DOTS <= m; i += MOST_DOTS) {
        int j = 0;
        for (; j + MOST_DOTS <= n; j += MOST_DOTS)
            dots(MOST_DOTS, MOST_DOTS, K, a + i * K, b + j * (long)K, c + i * n + j, n, add,
             bias ? bias + i : NULL);
        for (; j < n; j++)
            dots(MOST_DOTS, 1, K, a + i * K, b + j * (long)K, c + i * n + j, n, add,
             bias ? bias + i : NULL);
    }
    for (; i < m; i++)
        for (int j = 0; j < n; j++)
            dots(1, 1, K, a + i * K, b + j * (long)K, c + i * n + j, n, add,
             bias ? bias + i : NULL);
}

/* What threads share of them: so many rows of a, and of c, are a part of the work. */
struct rows_of_dots {
    int m, n, K, rows, add;
    const real *a, *b, *bias;
    real *c;
};

static void dots_of_rows(void *work, int part)
{
    const struct rows_of_dots *const d = work;
    const int i = part * d->rows;
    all_dots(at_most(d->m - i, d->rows), d->n, d->K, d->a + i * (long)d->K, d->b,
             d->c + i * (long)d->n, d->add, d->bias ? d->bias + i : NULL);
}

CALLED void shared_dots(int m, int n, int K, const real *a, const real *b, real *c, int add,
                        const real *bias)
{
    enum { PART = 1 << 18 }; /* numbers of a, from memory */
    const int rows = MOST_DOTS * (PART / (MOST_DOTS * K) + 1);
    struct rows_of_dots work = {m, n, K, rows, add, a, b, bias, c};
    share(in_parts(m, rows), dots_of_rows, &work);
}

/* -- the three products that layers are made of ----------------------------------------------- */

INLINED void times(int m, int n, int K, const real *a, const real *b, real *c, int add) /* a b */
{
    blocked_product(m, n, K, a, K, 1, b, n, 1, c, n, add);
}

INLINED void times_plus(int m, int n, int K, const real *a, const real *b, const real *bias,
                        real *c) /* a b + bias */
{
    blocked_product_plus(m, n, K, a, K, 1, b, n, 1, c, n, 0, bias);
}

INLINED void transposed_times(int m, int n, int K, const real *a, const real *b, real *c, int add)
{
    blocked_product(m, n, K, a, 1, m, b, n, 1, c, n, add); /* a^T b, a being K x m */
}

INLINED void times_transposed_plus(int m, int n, int K, const real *a, const real *b,
                                   const real *bias, real *c, int add) /* a b^T + bias */
{
    if (n <= LANES && K >= 4 * LANES) /* b being n x K */
        shared_dots(m, n, K, a, b, c, add, bias);
    else
        blocked_product_plus(m, n, K, a, K, 1, b, 1, K, c, n, add, bias);
}

INLINED void times_transposed(int m, int n, int K, const real *a, const real *b, real *c, int add)
{
    times_transposed_plus(m, n, K, a, b, NULL, c, add); /* a b^T */
}

#endif
