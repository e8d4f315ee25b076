/* What all normalisations share: numbers taken together are divided by their deviation.
 *
 *     x_hat = (x - mu) / deviation        deviation^2 = mean of (x - mu)^2 + epsilon
 *
 * They lie in a row (of batch normalisation, n x m), or in a column (of an example, m x R). mu is
 * rounded, and where it is large that is not small beside the deviation: the mean of x - mu, the
 * `rest`, is subtracted too. Root mean square normalisation is the same with mu = 0, not `centred`.
 */
#ifndef BACKPROP_STANDARDIZATION_H
#define BACKPROP_STANDARDIZATION_H

#include <float.h>

#include "elementary.h"

#ifdef BACKPROP_DOUBLE
#define REAL_EPSILON DBL_EPSILON
#define REAL_LEAST DBL_MIN
#define REAL_EXPONENTS DBL_MAX_EXP
#define real_hypot hypot
#define real_ldexp ldexp
#else
#define REAL_EPSILON FLT_EPSILON
#define REAL_LEAST FLT_MIN
#define REAL_EXPONENTS FLT_MAX_EXP
#define real_hypot hypotf
#define real_ldexp ldexpf
#endif

enum { CHUNK = 64, WIDE = 4 * LANES }; /* numbers added up one by one; columns at a time */

/* Whether squares do not fit (or are NaN), or the deviation is nothing beside mu. */
INLINED int is_extreme(real mu, real variance)
{
    const real ratio = (real)1e-3 / REAL_EPSILON;
    return !(variance < (real)INFINITY && mu * mu < ratio * ratio * (variance + REAL_LEAST));
}

/* What is left of the mean of squares about mu when the rest has been subtracted as well. */
INLINED real variance_of(real mean_of_squares, real rest)
{
    const real variance = mean_of_squares - rest * rest;
    return variance < 0 ? 0 : variance;
}

/* What lets so many numbers become their sums over all processes that share a minibatch, or the
 * `largest` of each; NULL where there is one process. */
typedef void (*joining)(double *numbers, int64_t count, int64_t largest);

/* The extremes, of m numbers that lie so many apart, of which the first ones are counted. They are
 * divided by a power of 2, which is exact, and mu is no larger than the largest of them and no
 * smaller than the smallest: what is constant becomes 0. The variance is double: in that the square
 * of every float fits. */
CALLED void standardize_extremes(joining join, int m, int counted, long apart, int centred,
                                 double epsilon, const real *x, real *x_hat, real *mu,
                                 real *deviation, double *variance)
{
    real low = INFINITY, high = -INFINITY;
    for (int i = 0; i < counted; i++) {
        const real number = x[i * apart];
        low = number < low || number != number ? number : low;
        high = number > high || number != number ? number : high;
    }
    double all = counted;
    if (join != NULL) {
        double ends[2] = {-low, high};
        join(ends, 2, 1);
        low = (real)-ends[0], high = (real)ends[1];
        join(&all, 1, 0);
    }
    const real size = -low > high || low != low ? -low : high;
    int exponent = 0;
    if (isfinite(size))
        (void)frexp((double)size, &exponent);
    exponent = exponent < 0 ? 0 : exponent < REAL_EXPONENTS ? exponent : REAL_EXPONENTS - 1;
    const real scale = real_ldexp(1, exponent);

    double sum = 0, squares = 0;
    real mean = 0;
    if (centred) {
        for (int i = 0; i < counted; i++)
            sum += x[i * apart] / scale;
        if (join != NULL)
            join(&sum, 1, 0);
        mean = (real)(sum / all);
        mean += between(low / scale, mean, high / scale) - mean;
        sum = 0;
        for (int i = 0; i < counted; i++)
            sum += x[i * apart] / scale - mean;
        if (join != NULL)
            join(&sum, 1, 0);
    }
    const real rest = (real)(sum / all);
    for (int i = 0; i < m; i++) {
        const real from_mean = x[i * apart] / scale - mean - rest;
        x_hat[i * apart] = from_mean;
        if (i < counted)
            squares += (double)from_mean * from_mean;
    }
    if (join != NULL)
        join(&squares, 1, 0);
    squares /= all;
    *mu = (mean + rest) * scale;
    *deviation = real_hypot(real_sqrt((real)squares) * scale, (real)sqrt(epsilon));
    const real divisor = *deviation / scale;
    for (int i = 0; i < m; i++)
        x_hat[i * apart] /= divisor < REAL_LEAST ? REAL_LEAST : divisor;
    const double most = 0.5 * DBL_MAX / scale;
    *variance = (squares * scale > most ? most : squares * scale) * scale;
}

/* -- numbers in a row ------------------------------------------------------------------------- */

/* The sums of x - mu and of (x - mu)^2 over a row. */
INLINED void sums_about(int m, real mu, const real *x, real *sum, real *squares)
{
    real sums[16] = {0}, sums2[16] = {0};
    int i = 0;
    for (; i + 16 <= m; i += 16)
        for (int l = 0; l < 16; l++) {
            const real from_mu = x[i + l] - mu;
            sums[l] += from_mu;
            sums2[l] += from_mu * from_mu;
        }
    for (int l = 0; i + l < m; l++) {
        const real from_mu = x[i + l] - mu;
        sums[l] += from_mu;
        sums2[l] += from_mu * from_mu;
    }
    *sum = total_of(sums);
    *squares = total_of(sums2);
}

INLINED void standardize_row(int m, int centred, double epsilon, const real *restrict x,
                             real *restrict x_hat, real *mu, real *deviation, double *variance)
{
    real sum, squares;
    const real mean = centred ? sum_of(m, x) / m : 0;
    sums_about(m, mean, x, &sum, &squares);
    const real rest = centred ? sum / m : 0, found = variance_of(squares / m, rest);
    if (is_extreme(mean, found)) {
        standardize_extremes(NULL, m, m, 1, centred, epsilon, x, x_hat, mu, deviation,
                             variance);
        return;
    }
    *mu = mean + rest;
    *variance = found;
    *deviation = real_sqrt(found + (real)epsilon);
    const real inverse = 1 / *deviation;
    for (int i = 0; i < m; i++)
        x_hat[i] = (x[i] - mean - rest) * inverse;
}

/* -- numbers in a column: m x R, `wide` columns of it at a time -------------------------------- */

/* The sums of x over each column; by parts: fewer roundings add up. */
INLINED void column_sums(int m, int R, int wide, const real *x, real *sums)
{
    for (int j = 0; j < wide; j++)
        sums[j] = 0;
    for (int first = 0; first < m; first += CHUNK) {
        real part[WIDE] = {0};
        for (int i = first; i < m && i < first + CHUNK; i++)
            for (int j = 0; j < wide; j++)
                part[j] += x[(long)i * R + j];
        for (int j = 0; j < wide; j++)
            sums[j] += part[j];
    }
}

/* The sums of x - mu and of (x - mu)^2 over each column. */
INLINED void column_sums_about(int m, int R, int wide, const real *mu, const real *x, real *sums,
                               real *squares)
{
    for (int j = 0; j < wide; j++)
        sums[j] = squares[j] = 0;
    for (int first = 0; first < m; first += CHUNK) {
        real part[WIDE] = {0}, part2[WIDE] = {0};
        for (int i = first; i < m && i < first + CHUNK; i++)
            for (int j = 0; j < wide; j++) {
                const real from_mu = x[(long)i * R + j] - mu[j];
                part[j] += from_mu;
                part2[j] += from_mu * from_mu;
            }
        for (int j = 0; j < wide; j++) {
            sums[j] += part[j];
            squares[j] += part2[j];
        }
    }
}

INLINED void standardize_some(int m, int R, int wide, int centred, double epsilon, const real *x,
                              real *x_hat, real *mu, real *deviation)
{
    real mean[WIDE] = {0}, rest[WIDE], variance[WIDE], inverse[WIDE];
    int extreme = 0;
    if (centred) {
        column_sums(m, R, wide, x, mean);
        for (int j = 0; j < wide; j++)
            mean[j] /= m;
    }
    column_sums_about(m, R, wide, mean, x, rest, variance);
    for (int j = 0; j < wide; j++) {
        rest[j] = centred ? rest[j] / m : 0;
        variance[j] = variance_of(variance[j] / m, rest[j]);
        extreme |= is_extreme(mean[j], variance[j]);
        mu[j] = mean[j] + rest[j];
        deviation[j] = real_sqrt(variance[j] + (real)epsilon);
        inverse[j] = 1 / deviation[j];
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < wide; j++)
            x_hat[(long)i * R + j] = (x[(long)i * R + j] - mean[j] - rest[j]) * inverse[j];
    for (int j = 0; extreme && j < wide; j++) {
        double unused;
        if (is_extreme(mean[j], variance[j]))
            standardize_extremes(NULL, m, m, R, centred, epsilon, x + j, x_hat + j, mu + j,
                                 deviation + j, &unused);
    }
}

INLINED void standardize_columns(int m, int R, int centred, double epsilon, const real *x,
                                 real *x_hat, real *mu, real *deviation)
{
    int j = 0;
    for (; j + WIDE <= R; j += WIDE)
        standardize_some(m, R, WIDE, centred, epsilon, x + j, x_hat + j, mu + j, deviation + j);
    if (j < R)
        standardize_some(m, R, R - j, centred, epsilon, x + j, x_hat + j, mu + j, deviation + j);
}

#endif
