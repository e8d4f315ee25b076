/* The patches of all windows as one matrix: its rows are the channels and the elements (i, j) of
 * the kernel, its columns the places of the output and the examples. */
#ifndef BACKPROP_PATCHES_H
#define BACKPROP_PATCHES_H

#include "windows.h"

/* P[(c, i, j), (h, t)] = a[c, shown(h, i, j) + t] */
INLINED void make_patches(const Windows *k, const real *restrict a, real *restrict P)
{
    const int run = run_of(k);
    for (int c = 0; c < k->channels; c++)
        for (int i = 0; i < k->kernel_h; i++)
            for (int j = 0; j < k->kernel_w; j++)
                for (int h = 0; h < k->rows; h++, P += run)
                    memcpy(P, a + c * channel_size(k) + shown(k, h, i, j), sizeof(real) * run);
}

/* Every element of the patches is added to the place that it came from. */
INLINED void add_patches(const Windows *k, const real *restrict P, real *restrict a)
{
    const int run = run_of(k);
    memset(a, 0, sizeof(real) * k->channels * channel_size(k));
    for (int c = 0; c < k->channels; c++)
        for (int i = 0; i < k->kernel_h; i++)
            for (int j = 0; j < k->kernel_w; j++)
                for (int h = 0; h < k->rows; h++, P += run)
                    add_to(run, P, a + c * channel_size(k) + shown(k, h, i, j));
}

#endif
