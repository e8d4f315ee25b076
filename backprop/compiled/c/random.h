/* Random numbers for the training of an exported network, where NumPy's generators are not. */
#ifndef BACKPROP_RANDOM_H
#define BACKPROP_RANDOM_H

#include "real.h"

/* The next 64 bits of the generator splitmix64 (Steele, Lea and Flood, 2014). */
INLINED uint64_t random_bits(uint64_t *state)
{
    uint64_t bits = *state += 0x9e3779b97f4a7c15u;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return bits ^ (bits >> 31);
}

/* n numbers, uniform in [0, 1). */
INLINED void draw_uniform(int n, uint64_t *state, real *drawn)
{
    for (int i = 0; i < n; i++)
#ifdef BACKPROP_DOUBLE
        drawn[i] = (real)(random_bits(state) >> 11) / 9007199254740992.0; /* 2^53 */
#else
        drawn[i] = (real)(random_bits(state) >> 40) / 16777216.0f; /* 2^24 */
#endif
}

/* n numbers of N(0, 1), by the method of Box and Muller. */
INLINED void draw_normal(int n, uint64_t *state, real *drawn)
{
    for (int i = 0; i < n; i++) {
        const double u = (double)(random_bits(state) >> 11) / 9007199254740992.0;
        const double v = (double)(random_bits(state) >> 11) / 9007199254740992.0;
        drawn[i] = (real)(sqrt(-2 * log(1 - u)) * cos(6.28318530717958647692 * v));
    }
}

#endif
