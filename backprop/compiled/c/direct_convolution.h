/* The equations of convolution.h, fast: a tile of numbers at a time stays in the registers.
 *
 * A tile is R rows by V vectors: R maps and V vectors of a run for z, R channels and V vectors for
 * what BP2 sends down, R maps and as many weights of each for BP4, whose vectors are of products
 * yet to be added up. All runs must be as long as a vector at least.
 *
 * Threads share an equation row by row of z, line by line of what BP2 sends down, and in some maps
 * by some weights for BP4. How large the tiles are is to be constants, so each part is a function
 * of its own for these windows: `ROW_OF_Z(windows)` and the like make them, at file scope.
 */
#ifndef BACKPROP_DIRECT_CONVOLUTION_H
#define BACKPROP_DIRECT_CONVOLUTION_H

#include "team.h"
#include "windows.h"

#if defined(__AVX512F__) || defined(__aarch64__)
enum { REGISTERS = 32, TILE_VECTORS = 6, TILE_ROWS = 12 };
#else
enum { REGISTERS = 16, TILE_VECTORS = 3, TILE_ROWS = 6 };
#endif
enum { NEAR = 16384 / sizeof(real) };

/* The arrays of an equation. */
struct convolved {
    const real *w, *b, *a, *delta;
    real *made;
};

/* As many rows of V vectors as fit, beside V vectors and a weight. */
INLINED int most_rows(int V) { return at_most(TILE_ROWS, (REGISTERS - 1) / V - 1); }

/* n rows in as few tiles as can be, all of about one size: how many rows each has. */
INLINED int rows_of_tile(int n, int V) { return in_parts(n, in_parts(n, most_rows(V))); }

/* What a tile takes: two sums a cycle, two numbers loaded; a vector that lies anyhow, twice two. */
INLINED int cost_of(int tiles, int R, int V)
{
    return tiles * (R * V > R + 4 * V ? R * V : R + 4 * V);
}

INLINED int cost_of_rows(int n, int run, int V)
{
    const int R = rows_of_tile(n, V);
    return V * LANES > run ? 1 << 30 : cost_of(in_parts(n, R) * in_parts(run, V * LANES), R, V);
}

/* The V that is best for n rows of runs; the last tile of a run ends where the run does. */
INLINED int vectors_of_tile(int n, int run)
{
    int V = 1;
    V = cost_of_rows(n, run, 2) <= cost_of_rows(n, run, V) ? 2 : V;
    V = cost_of_rows(n, run, 3) <= cost_of_rows(n, run, V) ? 3 : V;
    if (TILE_VECTORS > 3) {
        V = cost_of_rows(n, run, 4) <= cost_of_rows(n, run, V) ? 4 : V;
        V = cost_of_rows(n, run, 5) <= cost_of_rows(n, run, V) ? 5 : V;
        V = cost_of_rows(n, run, 6) <= cost_of_rows(n, run, V) ? 6 : V;
    }
    return V;
}

INLINED void set_tile(const int R, const int V, vector sum[TILE_ROWS][TILE_VECTORS])
{
    UNROLLED for (int r = 0; r < R; r++)
        UNROLLED for (int v = 0; v < V; v++)
            sum[r][v] = (vector){0};
}

/* sum[r, v] += w[r] x[v] */
INLINED void add_products(const int R, const int V, const real *w, long next, const real *x,
                          vector sum[TILE_ROWS][TILE_VECTORS])
{
    vector of_x[TILE_VECTORS];
    UNROLLED for (int v = 0; v < V; v++)
        of_x[v] = *(const vector *)(x + v * LANES);
    UNROLLED for (int r = 0; r < R; r++) {
        const real weight = w[r * next];
        UNROLLED for (int v = 0; v < V; v++)
            sum[r][v] += weight * of_x[v];
    }
}

/* The vector with 0 in its first lanes. */
INLINED vector without(int lanes, vector x)
{
    integers lane;
    UNROLLED for (int l = 0; l < LANES; l++)
        lane[l] = l;
    return (vector)((integers)x & (lane >= lanes));
}

/* Of each of so many parts; threads help where it takes longer than to call them. */
INLINED void share_convolution(const Windows *k, int n, part_of_work do_part, struct convolved *of)
{
    const long each = (long)k->rows * run_of(k) * kernel_size(k);
    if (each * k->maps * k->channels >= 1 << 19)
        share(n, do_part, of);
    else
        for (int part = 0; part < n; part++)
            do_part(of, part);
}

/* -- z = w * a_prev + b ----------------------------------------------------------------------- */

/* Of R maps, V vectors of a run. */
INLINED void weighted_tile(const int R, const int V, const Windows *k, const real *w,
                           const real *b, const real *a, real *z)
{
    const int of_map = k->channels * kernel_size(k);
    vector sum[TILE_ROWS][TILE_VECTORS];
    set_tile(R, V, sum);
    for (int c = 0; c < k->channels; c++)
        for (int i = 0; i < k->kernel_h; i++)
            for (int j = 0; j < k->kernel_w; j++, w++)
                add_products(R, V, w, of_map, a + c * channel_size(k) + shown(k, 0, i, j), sum);
    UNROLLED for (int r = 0; r < R; r++) {
        const real bias = b ? b[r] : 0;
        UNROLLED for (int v = 0; v < V; v++)
            *(vector *)(z + r * map_size(k) + v * LANES) = sum[r][v] + bias;
    }
}

INLINED void weighted_tiles(const int R, const int V, const Windows *k, const struct convolved *of,
                            int h)
{
    const int run = run_of(k), of_map = k->channels * kernel_size(k), rest = k->maps % R;
    const real *const w = of->w, *const b = of->b;
    for (int t = 0; t < run; t += V * LANES) {
        if (t + V * LANES > run)
            t = run - V * LANES; /* some numbers are computed twice */
        const real *const part = of->a + shown(k, h, 0, 0) + t;
        real *const to = of->made + h * (long)run + t;
        int m = 0;
        for (; m + R <= k->maps; m += R)
            weighted_tile(R, V, k, w + m * of_map, b ? b + m : b, part, to + m * map_size(k));
        if (rest)
            weighted_tile(rest, V, k, w + m * of_map, b ? b + m : b, part, to + m * map_size(k));
    }
}

INLINED void row_of_z(const Windows *k, const struct convolved *of, int h)
{
    const int V = vectors_of_tile(k->maps, run_of(k));
    weighted_tiles(rows_of_tile(k->maps, V), V, k, of, h);
}

#define ROW_OF_Z(windows) \
    static void windows##_row_of_z(void *of, int h) \
    { \
        if (!runs_are_short(&windows)) \
            row_of_z(&windows, of, h); \
    }

INLINED void direct_weighted_input(const Windows *k, part_of_work row, const real *w,
                                   const real *b, const real *a, real *z)
{
    struct convolved of = {.w = w, .b = b, .a = a, .made = z};
    share_convolution(k, k->rows, row, &of);
}

/* -- BP2: w^T delta --------------------------------------------------------------------------- */

/* w[m, c, i, j] as turned[j, i, m, c]: channel by channel, as the tiles take them. */
INLINED void turn_weights(const Windows *k, const real *restrict w, real *restrict turned)
{
    for (int j = 0; j < k->kernel_w; j++)
        for (int i = 0; i < k->kernel_h; i++)
            for (int m = 0; m < k->maps; m++)
                for (int c = 0; c < k->channels; c++)
                    *turned++ = w[((m * k->channels + c) * k->kernel_h + i) * k->kernel_w + j];
}

/* What V vectors of a run, in all rows of delta that see it, send to the line y of R channels
 * through the column j of the kernel; the first `known` numbers are there already. */
INLINED void downstream_tile(const int R, const int V, const Windows *k, const real *turned,
                             const real *delta, int y, int known, real *nabla)
{
    vector sum[TILE_ROWS][TILE_VECTORS];
    set_tile(R, V, sum);
    for (int i = 0; i < k->kernel_h; i++) {
        const int above = y - i * k->dilation_h, h = above / k->stride_h;
        if (above < 0 || above % k->stride_h || h >= k->rows)
            continue;
        for (int m = 0; m < k->maps; m++)
            add_products(R, V, turned + (i * k->maps + m) * k->channels, 1,
                         delta + m * map_size(k) + h * run_of(k), sum);
    }
    UNROLLED for (int r = 0; r < R; r++)
        UNROLLED for (int v = 0; v < V; v++)
            *(vector *)(nabla + r * channel_size(k) + v * LANES)
                += without(known - v * LANES, sum[r][v]);
}

INLINED void downstream_tiles(const int R, const int V, const Windows *k,
                              const struct convolved *of, int y)
{
    const int run = run_of(k), of_column = k->kernel_h * k->maps * k->channels;
    const int rest = k->channels % R;
    for (int t = 0; t < run; t += V * LANES) {
        const int at = t + V * LANES > run ? run - V * LANES : t;
        for (int j = 0; j < k->kernel_w; j++) {
            const real *const of_j = of->w + j * of_column;
            real *const to = of->made + y * line_of(k) + shown(k, 0, 0, j) + at;
            int c = 0;
            for (; c + R <= k->channels; c += R)
                downstream_tile(R, V, k, of_j + c, of->delta + at, y, t - at,
                                to + c * channel_size(k));
            if (rest)
                downstream_tile(rest, V, k, of_j + c, of->delta + at, y, t - at,
                                to + c * channel_size(k));
        }
    }
}

INLINED void line_below(const Windows *k, const struct convolved *of, int y)
{
    const int V = vectors_of_tile(k->channels, run_of(k));
    for (int c = 0; c < k->channels; c++)
        memset(of->made + c * channel_size(k) + y * line_of(k), 0, sizeof(real) * line_of(k));
    downstream_tiles(rows_of_tile(k->channels, V), V, k, of, y);
}

#define LINE_BELOW(windows) \
    static void windows##_line_below(void *of, int y) \
    { \
        if (!runs_are_short(&windows)) \
            line_below(&windows, of, y); \
    }

INLINED void direct_downstream(const Windows *k, part_of_work line, const real *w,
                              const real *delta, real *turned, real *nabla)
{
    struct convolved of = {.w = turned, .delta = delta, .made = nabla};
    turn_weights(k, w, turned);
    share_convolution(k, k->lines, line, &of);
}

/* -- BP4: dC/dw = a_prev correlated with delta ------------------------------------------------ */

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES
#endif
#endif

#ifdef SHUFFLES
#if VECTOR_BYTES == 64 && !defined(BACKPROP_DOUBLE)
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif VECTOR_BYTES == 64 || (VECTOR_BYTES == 32 && !defined(BACKPROP_DOUBLE))
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15
#elif VECTOR_BYTES == 32 || !defined(BACKPROP_DOUBLE)
#define EVENS 0, 2, 4, 6
#define ODDS 1, 3, 5, 7
#else
#define EVENS 0, 2
#define ODDS 1, 3
#endif

/* Half as many vectors as n: of each two the sums of all neighbours. */
INLINED void add_neighbours(int n, vector *x)
{
    UNROLLED for (int q = 0; q < n / 2; q++)
        x[q] = __builtin_shufflevector(x[2 * q], x[2 * q + 1], EVENS)
             + __builtin_shufflevector(x[2 * q], x[2 * q + 1], ODDS);
}

/* The sum of the numbers of each of as many vectors as there are numbers in one. */
CALLED vector sums_of_each(const vector *vectors)
{
    vector x[LANES];
    UNROLLED for (int q = 0; q < LANES; q++)
        x[q] = vectors[q];
    add_neighbours(LANES, x);
    add_neighbours(LANES / 2, x);
    add_neighbours(LANES / 4, x);
    add_neighbours(LANES / 8, x);
    return x[0];
}
#else
CALLED vector sums_of_each(const vector *vectors)
{
    vector sums;
    for (int q = 0; q < LANES; q++)
        sums[q] = sum_of(LANES, (const real *)&vectors[q]);
    return sums;
}
#endif

/* What a part of delta, rows `top` to `bottom` and numbers `left` to `right` of each, gives to K
 * weights, one after another, of D maps. All but the first d0 and q0 of these are new. */
INLINED void gradient_tile(const int D, const int K, const Windows *k, int top, int bottom,
                           int left, int right, const real *delta, const real *a, int weight,
                           int d0, int q0, real *nabla_w)
{
    const int of_map = k->channels * kernel_size(k), rest = (right - left) % LANES;
    const real *seen[REGISTERS];
    vector sum[REGISTERS], all[REGISTERS];
    real sums[REGISTERS];
    UNROLLED for (int q = 0; q < K; q++) {
        const int c = (weight + q) / kernel_size(k), element = (weight + q) % kernel_size(k);
        const int i = element / k->kernel_w, j = element % k->kernel_w;
        seen[q] = a + c * channel_size(k) + shown(k, 0, i, j);
    }
    UNROLLED for (int d = 0; d < D; d++)
        UNROLLED for (int q = 0; q < K; q++)
            sum[d * K + q] = (vector){0};
    for (int h = top; h < bottom; h++) {
        const long line = shown(k, h, 0, 0), row = h * (long)run_of(k);
        for (int t = left; t + LANES <= right; t += LANES) {
            vector of_a[REGISTERS];
            UNROLLED for (int q = 0; q < K; q++)
                of_a[q] = *(const vector *)(seen[q] + line + t);
            UNROLLED for (int d = 0; d < D; d++) {
                const vector of_delta = *(const vector *)(delta + d * map_size(k) + row + t);
                UNROLLED for (int q = 0; q < K; q++)
                    sum[d * K + q] += of_delta * of_a[q];
            }
        }
        if (rest) {
            const int t = right - LANES; /* most of it has been seen to */
            UNROLLED for (int d = 0; d < D; d++) {
                const vector all_delta = *(const vector *)(delta + d * map_size(k) + row + t);
                const vector of_delta = without(LANES - rest, all_delta);
                UNROLLED for (int q = 0; q < K; q++) {
                    const vector of_a = *(const vector *)(seen[q] + line + t);
                    sum[d * K + q] += of_delta * without(LANES - rest, of_a);
                }
            }
        }
    }
    UNROLLED for (int d = 0; d < D; d++)
        UNROLLED for (int q = 0; q < K; q++)
            all[d * K + q] = sum[d * K + q];
    UNROLLED for (int n = D * K; n % LANES; n++)
        all[n] = (vector){0};
    for (int n = 0; n < D * K; n += LANES)
        *(vector *)(sums + n) = sums_of_each(all + n);
    for (int d = d0; d < D; d++)
        for (int q = q0; q < K; q++)
            nabla_w[d * of_map + q] += sums[d * K + q];
}

INLINED int weights_of_tile(const Windows *k, int D)
{
    return at_most((REGISTERS - 1) / (D + 1), k->channels * kernel_size(k));
}

INLINED int cost_of_dots(const Windows *k, int D)
{
    const int K = weights_of_tile(k, D);
    const int tiles = in_parts(k->maps, D) * in_parts(k->channels * kernel_size(k), K);
    return D > k->maps ? 1 << 30 : cost_of(tiles, D, K);
}

/* How many maps a tile has. */
INLINED int maps_of_tile(const Windows *k)
{
    int D = 1;
    D = cost_of_dots(k, 2) <= cost_of_dots(k, D) ? 2 : D;
    D = cost_of_dots(k, 3) <= cost_of_dots(k, D) ? 3 : D;
    D = cost_of_dots(k, 4) <= cost_of_dots(k, D) ? 4 : D;
    D = cost_of_dots(k, 5) <= cost_of_dots(k, D) ? 5 : D;
    D = cost_of_dots(k, 6) <= cost_of_dots(k, D) ? 6 : D;
    return D;
}

/* Tiles of weights that one part has of its maps. */
INLINED int tiles_of_part(const Windows *k)
{
    const int D = maps_of_tile(k);
    const int tiles = in_parts(k->channels * kernel_size(k), weights_of_tile(k, D));
    return in_parts(tiles, in_parts(32, in_parts(k->maps, D)));
}

INLINED int parts_of_maps(const Windows *k)
{
    const int tiles = in_parts(k->channels * kernel_size(k), weights_of_tile(k, maps_of_tile(k)));
    return in_parts(tiles, tiles_of_part(k));
}

/* Some weights of D maps: part by part of delta, so that what is used again and again stays near.
 */
INLINED void some_weights(const Windows *k, const struct convolved *of, int part)
{
    const int D = maps_of_tile(k), K = weights_of_tile(k, D), many = tiles_of_part(k) * K;
    const int of_map = k->channels * kernel_size(k), run = run_of(k);
    const int wide = at_most(run, NEAR), high = NEAR / wide;
    const int m = part / parts_of_maps(k) * D, start = part % parts_of_maps(k) * many;
    const int from = at_most(m, k->maps - D), end = at_most(start + many, of_map);
    for (int d = m; d < from + D; d++)
        memset(of->made + d * of_map + start, 0, sizeof(real) * (end - start));
    for (int top = 0; top < k->rows; top += high)
        for (int left = 0; left < run; left += wide)
            for (int weight = start; weight < end; weight += K) {
                const int first = at_most(weight, of_map - K);
                gradient_tile(D, K, k, top, at_most(top + high, k->rows), left,
                              at_most(left + wide, run), of->delta + from * map_size(k), of->a,
                              first, m - from, weight - first, of->made + from * of_map + first);
            }
}

#define SOME_WEIGHTS(windows) \
    static void windows##_some_weights(void *of, int part) \
    { \
        if (!runs_are_short(&windows)) \
            some_weights(&windows, of, part); \
    }

INLINED void direct_weight_gradient(const Windows *k, part_of_work weights, const real *delta,
                                   const real *a, real *nabla_w)
{
    struct convolved of = {.a = a, .delta = delta, .made = nabla_w};
    const int n = in_parts(k->maps, maps_of_tile(k)) * parts_of_maps(k);
    share_convolution(k, n, weights, &of);
}

#endif
