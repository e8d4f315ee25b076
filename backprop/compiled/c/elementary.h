/* exp, expm1, tanh and the sigmoid, such that a loop over them becomes one over vectors.
 *
 * exp(x) = 2^k exp(r) with k the integer next to x / ln 2 and |r| <= ln(2) / 2, exp(r) - 1 by its
 * series, as far as it counts. Of NaN all give NaN.
 */
#ifndef BACKPROP_ELEMENTARY_H
#define BACKPROP_ELEMENTARY_H

#include "real.h"

#ifdef BACKPROP_DOUBLE
#define EXP_LEAST -708.0 /* beyond these exp is beyond the normal numbers */
#define EXP_MOST 709.0
#define LN2_HIGH 6.93147180369123816490e-01 /* ln 2 in two parts, so that k ln 2 is exact */
#define LN2_LOW 1.90821492927058770002e-10
enum { MANTISSA = 52, EXPONENT_OF_1 = 1023 };
#else
#define EXP_LEAST -87.0f
#define EXP_MOST 88.0f
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
enum { MANTISSA = 23, EXPONENT_OF_1 = 127 };
#endif

INLINED real power_of_2(integer k)
{
    union { integer bits; real value; } power;
    power.bits = (k + EXPONENT_OF_1) << MANTISSA;
    return power.value;
}

/* exp(r) - 1 = r + r^2/2! + r^3/3! + ... for |r| <= ln(2) / 2. */
INLINED real expm1_near_0(real r)
{
#ifdef BACKPROP_DOUBLE
    real sum = 1.0 / 6227020800.0;
    sum = sum * r + 1.0 / 479001600.0;
    sum = sum * r + 1.0 / 39916800.0;
    sum = sum * r + 1.0 / 3628800.0;
    sum = sum * r + 1.0 / 362880.0;
    sum = sum * r + 1.0 / 40320.0;
    sum = sum * r + 1.0 / 5040.0;
    sum = sum * r + 1.0 / 720.0;
#else
    real sum = (real)(1.0 / 5040.0);
    sum = sum * r + (real)(1.0 / 720.0);
#endif
    sum = sum * r + (real)(1.0 / 120.0);
    sum = sum * r + (real)(1.0 / 24.0);
    sum = sum * r + (real)(1.0 / 6.0);
    sum = sum * r + (real)0.5;
    return r + r * r * sum;
}

/* x between the two ends; NaN stays NaN. */
INLINED real between(real least, real x, real most)
{
    x = x < least ? least : x;
    return x > most ? most : x;
}

/* exp(r) - 1 and 2^k, whose product with exp(r) is exp(x), for x in [EXP_LEAST, EXP_MOST] or NaN. */
INLINED real expm1_and_power(real x, real *power)
{
    const real number = x > EXP_LEAST ? x : EXP_LEAST; /* which NaN is not */
    const real scaled = number * (real)1.4426950408889634;
    const integer k = (integer)(scaled + (real)(EXPONENT_OF_1 + 1.5)) - (EXPONENT_OF_1 + 1);
    *power = power_of_2(k);
    return expm1_near_0((x - (real)k * LN2_HIGH) - (real)k * LN2_LOW);
}

INLINED real exp_of(real x) /* from the smallest normal number up, and 0 below */
{
    real power;
    const real expm1 = expm1_and_power(between(EXP_LEAST, x, EXP_MOST), &power);
    const real e = power + power * expm1;
    return x < EXP_LEAST ? 0 : x > EXP_MOST ? (real)INFINITY : e;
}

INLINED real expm1_of(real x) /* exp(x) - 1, exact near 0 */
{
    real power;
    const real expm1 = expm1_and_power(between(EXP_LEAST, x, EXP_MOST), &power);
    const real e = power * expm1 + (power - 1);
    return x > EXP_MOST ? (real)INFINITY : e;
}

INLINED real sigmoid_of(real z) /* 1 / (1 + exp(-z)), not below the smallest normal number */
{
    real power;
    const real expm1 = expm1_and_power(between(EXP_LEAST, -z, -EXP_LEAST), &power);
    return 1 / (1 + (power + power * expm1));
}

INLINED real tanh_of(real z) /* -e / (2 + e), e = exp(-2 |z|) - 1 */
{
    real power;
    const real size = z < 0 ? -z : z;
    const real expm1 = expm1_and_power(between(-80, -2 * size, 0), &power);
    const real e = power * expm1 + (power - 1);
    const real a = e / (2 + e);
    return z < 0 ? a : -a;
}

#endif
