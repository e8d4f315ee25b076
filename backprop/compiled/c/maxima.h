/* The windows of pooling layers, and their maxima: plainly, and by vectors of examples, which is
 * faster. Of a window that reaches over the edge only what lies inside is looked at. Signals are
 * images of one line.
 */
#ifndef BACKPROP_MAXIMA_H
#define BACKPROP_MAXIMA_H

#include "real.h"

typedef struct {
    int channels, height, width, B; /* of the input */
    int rows, columns;              /* of the output */
    int kernel_h, kernel_w, stride_h, stride_w, top, left; /* the last two: padding in front */
} Pool;

typedef struct {
    int i, j, end_i, end_j; /* its elements inside: from (i, j) on, before end_i and end_j */
    long seen, made;        /* where its element (0, 0) would lie, and where the output does */
} Window;

INLINED Window window_of(const Pool *k, int c, int h, int v)
{
    const int y = h * k->stride_h - k->top, x = v * k->stride_w - k->left;
    Window window;
    window.i = y < 0 ? -y : 0;
    window.j = x < 0 ? -x : 0;
    window.end_i = k->height - y < k->kernel_h ? k->height - y : k->kernel_h;
    window.end_j = k->width - x < k->kernel_w ? k->width - x : k->kernel_w;
    window.seen = ((c * (long)k->height + y) * k->width + x) * k->B;
    window.made = ((c * (long)k->rows + h) * k->columns + v) * k->B;
    return window;
}

INLINED long element(const Pool *k, const Window *window, int i, int j)
{
    return window->seen + ((long)i * k->width + j) * k->B;
}

/* -- of any windows --------------------------------------------------------------------------- */

enum { AT_ONCE = 64 }; /* examples */

/* The maximum of a window, of n examples from b on, and its place, i * kernel_w + j: the first in
 * row order. If a number is NaN, so is the maximum, and its place is in the first row. */
INLINED void max_of_window(const Pool *k, const Window *window, int column, int b, int n,
                           const real *a_prev, const uint8_t *mask, real *a, int32_t *places)
{
    real most[AT_ONCE], of_row[AT_ONCE];
    integer place[AT_ONCE], in_row[AT_ONCE], in_first_row[AT_ONCE];
    for (int i = window->i; i < window->end_i; i++) {
        for (int j = window->j; j < window->end_j; j++) {
            const real *seen = a_prev + element(k, window, i, j) + b;
            const uint8_t *real_step = mask ? mask + (column + j) * k->B + b : NULL;
            for (int l = 0; l < n; l++) {
                const real one = mask && !real_step[l] ? -(real)INFINITY : seen[l];
                const int more = j == window->j || one > of_row[l];
                in_row[l] = more ? i * k->kernel_w + j : in_row[l];
                of_row[l] = more || one != one ? one : of_row[l];
            }
        }
        for (int l = 0; l < n; l++) {
            const int more = i == window->i || of_row[l] > most[l];
            in_row[l] = of_row[l] == of_row[l] ? in_row[l] : i * k->kernel_w + window->j;
            in_first_row[l] = i == window->i ? in_row[l] : in_first_row[l];
            place[l] = more ? in_row[l] : place[l];
            most[l] = more || of_row[l] != of_row[l] ? of_row[l] : most[l];
        }
    }
    for (int l = 0; l < n; l++) {
        a[l] = most[l];
        places[l] = most[l] == most[l] ? place[l] : in_first_row[l];
    }
}

/* mask is NULL, or T x B: which columns are more than padding. */
CALLED void plain_max_pool(const Pool *k, const real *a_prev, const uint8_t *mask, real *a,
                           int32_t *places)
{
    for (int c = 0; c < k->channels; c++)
        for (int h = 0; h < k->rows; h++)
            for (int v = 0; v < k->columns; v++)
                for (int b = 0; b < k->B; b += AT_ONCE) {
                    const Window window = window_of(k, c, h, v);
                    const int n = k->B - b < AT_ONCE ? k->B - b : AT_ONCE;
                    max_of_window(k, &window, v * k->stride_w - k->left, b, n, a_prev, mask,
                                  a + window.made + b, places + window.made + b);
                }
}

/* What was the maximum gets all of nabla_a. */
CALLED void plain_max_pool_downstream(const Pool *k, const real *restrict nabla_a,
                                      const int32_t *restrict places, real *restrict nabla_a_prev)
{
    memset(nabla_a_prev, 0, sizeof(real) * k->channels * k->height * k->width * k->B);
    for (int c = 0; c < k->channels; c++)
        for (int h = 0; h < k->rows; h++)
            for (int v = 0; v < k->columns; v++) {
                const Window window = window_of(k, c, h, v);
                for (int i = window.i; i < window.end_i; i++)
                    for (int j = window.j; j < window.end_j; j++)
                        for (int b = 0; b < k->B; b++)
                            nabla_a_prev[element(k, &window, i, j) + b] +=
                                places[window.made + b] == i * k->kernel_w + j
                                    ? nabla_a[window.made + b]
                                    : 0;
            }
}

/* -- by vectors of examples ------------------------------------------------------------------- */

/* If there are fewer examples than a vector has, it reaches into what follows. What it writes there
 * is written anew right after; where it would reach beyond the end, the plain way is gone. */
INLINED int has_room(const Pool *k, const Window *window)
{
    const long size = (long)k->channels * k->height * k->width * k->B;
    const long made = (long)k->channels * k->rows * k->columns * k->B;
    return k->B >= LANES
        || (element(k, window, k->kernel_h - 1, k->kernel_w - 1) + LANES <= size
            && window->made + LANES <= made);
}

INLINED int is_inside(const Pool *k, const Window *window)
{
    return !window->i && !window->j && window->end_i == k->kernel_h
        && window->end_j == k->kernel_w;
}

/* Where the vector begins that has example b: the last one ends where the examples do. */
INLINED int vector_at(const Pool *k, int b) { return b && b + LANES > k->B ? k->B - LANES : b; }

typedef int32_t numbers __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

/* x in the lanes of `which` that are all ones, y in those that are 0. */
INLINED integers pick(integers which, integers x, integers y)
{
    return (which & x) | (~which & y);
}

INLINED vector pick_real(integers which, vector x, vector y)
{
    return (vector)pick(which, (integers)x, (integers)y);
}

/* `max_of_window` for a vector of examples. */
INLINED void maxima_of_window(const Pool *k, const real *seen, real *a, int32_t *places)
{
    const long right = k->B, down = (long)k->width * k->B;
    vector most = {0};
    integers place = {0}, in_first_row = {0};
    for (int i = 0; i < k->kernel_h; i++) {
        vector of_row = *(const vector *)(seen + i * down);
        const integers start = (integers){0} + i * k->kernel_w;
        integers in_row = start;
        for (int j = 1; j < k->kernel_w; j++) {
            const vector one = *(const vector *)(seen + i * down + j * right);
            const integers more = one > of_row;
            in_row = pick(more, start + j, in_row);
            of_row = pick_real(more | (one != one), one, of_row);
        }
        in_row = pick(of_row == of_row, in_row, start);
        if (i == 0) {
            most = of_row;
            place = in_first_row = in_row;
        } else {
            const integers more = of_row > most;
            place = pick(more, in_row, place);
            most = pick_real(more | (of_row != of_row), of_row, most);
        }
    }
    place = pick(most == most, place, in_first_row);
    *(vector *)a = most;
    *(numbers *)places = __builtin_convertvector(place, numbers);
}

/* `plain_max_pool` without a mask. */
INLINED void fast_max_pool(const Pool *k, const real *a_prev, real *a, int32_t *places)
{
    for (int c = 0; c < k->channels; c++)
        for (int h = 0; h < k->rows; h++)
            for (int v = 0; v < k->columns; v++) {
                const Window window = window_of(k, c, h, v);
                const int fast = is_inside(k, &window) && has_room(k, &window);
                for (int b = 0; b < k->B; b += fast ? LANES : AT_ONCE) {
                    const long first = fast ? vector_at(k, b) : b, at = window.made + first;
                    if (fast)
                        maxima_of_window(k, a_prev + window.seen + first, a + at, places + at);
                    else
                        max_of_window(k, &window, 0, b, at_most(k->B - b, AT_ONCE), a_prev, NULL,
                                      a + at, places + at);
                }
            }
}

/* Row i of a window: what was the maximum gets nabla_a, all else 0. */
INLINED void hand_down(const Pool *k, const real *nabla_a, const int32_t *places, int i,
                       real *nabla_a_prev)
{
    const vector nabla = *(const vector *)nabla_a;
    const integers place = __builtin_convertvector(*(const numbers *)places, integers);
    for (int j = 0; j < k->kernel_w; j++)
        *(vector *)(nabla_a_prev + j * k->B) =
            (vector)((place == i * k->kernel_w + j) & (integers)nabla);
}

/* `plain_max_pool_downstream` for windows side by side: every number is written once. */
INLINED void fast_max_pool_downstream(const Pool *k, const real *nabla_a, const int32_t *places,
                                      real *nabla_a_prev)
{
    const int line = k->width * k->B, in_windows = k->columns * k->kernel_w * k->B;
    for (int c = 0; c < k->channels; c++)
        for (int y = 0; y < k->height; y++) {
            const int h = y / k->kernel_h, i = y % k->kernel_h;
            real *const to = nabla_a_prev + (c * (long)k->height + y) * line;
            for (int v = 0; h < k->rows && v < k->columns; v++) {
                const Window window = window_of(k, c, h, v);
                const real *const nabla = nabla_a + window.made;
                const int32_t *const place = places + window.made;
                real *const part = to + v * k->kernel_w * k->B;
                if (has_room(k, &window))
                    for (int b = 0; b < k->B; b += LANES)
                        hand_down(k, nabla + vector_at(k, b), place + vector_at(k, b), i,
                                  part + vector_at(k, b));
                else
                    for (int j = 0; j < k->kernel_w; j++)
                        for (int b = 0; b < k->B; b++)
                            part[j * k->B + b] = place[b] == i * k->kernel_w + j ? nabla[b] : 0;
            }
            const int seen = h < k->rows ? in_windows : 0; /* the rest is in no window */
            fill(line - seen, 0, to + seen);
        }
}

#endif
