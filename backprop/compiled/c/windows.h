/* Windows laid over images C x H x W x B, or over signals, which are images of one line.
 *
 * What the elements (i, j) of all windows of a row show of a channel lies one after another: a run
 * of W' B numbers, as long as the row of the output that is made of it. So the equations are loops
 * over runs: the number t of row h of the output sees a[c, shown(h, i, j) + t].
 */
#ifndef BACKPROP_WINDOWS_H
#define BACKPROP_WINDOWS_H

#include "real.h"

typedef struct {
    int groups, maps, channels; /* of each group: maps of the output, channels that they see */
    int rows, columns, B;       /* of a map: H' x W' x B */
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int lines, width; /* of a channel: how many lines, of stride_w parts, of width x B numbers */
} Windows;

INLINED int run_of(const Windows *k) { return k->columns * k->B; }
INLINED int runs_are_short(const Windows *k) { return run_of(k) < LANES; }
INLINED long map_size(const Windows *k) { return (long)k->rows * run_of(k); }
INLINED long line_of(const Windows *k) { return (long)k->stride_w * k->width * k->B; }
INLINED long channel_size(const Windows *k) { return k->lines * line_of(k); }
INLINED int kernel_size(const Windows *k) { return k->kernel_h * k->kernel_w; }

/* Where in a channel the run begins that the elements (i, j) of the windows of row h show. With a
 * stride the columns lie sorted: first 0, s, 2 s, ..., then 1, s + 1, ..., as `lay_out` puts them.
 */
INLINED long shown(const Windows *k, int h, int i, int j)
{
    const int y = h * k->stride_h + i * k->dilation_h, x = j * k->dilation_w;
    return y * line_of(k) + (x % k->stride_w * k->width + x / k->stride_w) * (long)k->B;
}

/* Where the column x of a line goes; -1 if no window sees it. */
INLINED long sorted(const Windows *k, int x)
{
    return x / k->stride_w < k->width ? (x % k->stride_w * k->width + x / k->stride_w) * (long)k->B
                                      : -1;
}

/* Put `channels` of height x width x B into lines with zeros around, `top` and `left` of them in
 * front, and the columns sorted by the stride. */
CALLED void lay_out(const Windows *k, int channels, int height, int width, int top, int left,
                    const real *restrict a, real *restrict laid)
{
    const long line = (long)width * k->B;
    memset(laid, 0, sizeof(real) * channels * channel_size(k));
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < height && top + y < k->lines; y++)
            for (int x = 0; x < width; x++) {
                const long to = sorted(k, left + x);
                if (to >= 0)
                    memcpy(laid + c * channel_size(k) + (top + y) * line_of(k) + to,
                           a + (c * (long)height + y) * line + (long)x * k->B,
                           sizeof(real) * k->B);
            }
}

/* The way back: 0 goes to what no window sees. */
CALLED void take_back(const Windows *k, int channels, int height, int width, int top, int left,
                      const real *restrict laid, real *restrict a)
{
    const long line = (long)width * k->B;
    memset(a, 0, sizeof(real) * channels * height * line);
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < height && top + y < k->lines; y++)
            for (int x = 0; x < width; x++) {
                const long from = sorted(k, left + x);
                if (from >= 0)
                    memcpy(a + (c * (long)height + y) * line + (long)x * k->B,
                           laid + c * channel_size(k) + (top + y) * line_of(k) + from,
                           sizeof(real) * k->B);
            }
}

#endif
