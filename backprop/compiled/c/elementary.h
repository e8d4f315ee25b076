/* exp, expm1, tanh and the sigmoid, such that a loop over them becomes one over vectors.
 *
 * exp(x) = 2^k exp(r) with k the integer next to x / ln 2 and |r| <= ln(2) / 2, exp(r) - 1 by its
 * series, as far as it counts. Of NaN all give NaN.
 *
 * There is no branch in them, nor what a compiler makes one of: numbers are rounded by adding so
 * many that only whole ones are left, and bounded as integers, for the bits of magnitudes are in
 * their order.
 */
#ifndef BACKPROP_ELEMENTARY_H
#define BACKPROP_ELEMENTARY_H

#include "real.h"

#ifdef BACKPROP_DOUBLE
#define EXP_LEAST -708.0 /* beyond these exp is beyond the normal numbers */
#define EXP_MOST 709.0
#define LN2_HIGH 6.93147180369123816490e-01 /* ln 2 in two parts, so that k ln 2 is exact */
#define LN2_LOW 1.90821492927058770002e-10
#define ONLY_WHOLE 6755399441055744.0 /* 1.5 2^MANTISSA: added to it, a number loses its fraction */
enum { MANTISSA = 52, EXPONENT_OF_1 = 1023 };
typedef uint64_t bits;
#else
#define EXP_LEAST -87.0f
#define EXP_MOST 88.0f
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define ONLY_WHOLE 12582912.0f
enum { MANTISSA = 23, EXPONENT_OF_1 = 127 };
typedef uint32_t bits;
#endif

INLINED bits bits_of(real x)
{
    union { real value; bits all; } both;
    both.value = x;
    return both.all;
}

INLINED real real_of(bits all)
{
    union { real value; bits all; } both;
    both.all = all;
    return both.value;
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

#define SIGN ((bits)1 << (8 * sizeof(bits) - 1))

/* |x|, or most if it is larger or NaN. */
INLINED real size_at_most(real most, real x)
{
    const bits size = bits_of(x) & ~SIGN;
    return real_of(size < bits_of(most) ? size : bits_of(most));
}

/* a with the sign of x. */
INLINED real with_sign_of(real x, real a)
{
    return real_of((bits_of(a) & ~SIGN) | (bits_of(x) & SIGN));
}

INLINED real at_most_so_large(real most, real x) { return with_sign_of(x, size_at_most(most, x)); }

/* exp(r) - 1 and 2^k, whose product with exp(r) is exp(x), for |x| <= EXP_MOST. */
INLINED real expm1_and_power(real x, real *power)
{
    const real shifted = x * (real)1.4426950408889634 + ONLY_WHOLE;
    const real k = shifted - ONLY_WHOLE;
    *power = real_of((bits_of(shifted) + EXPONENT_OF_1) << MANTISSA);
    return expm1_near_0((x - k * LN2_HIGH) - k * LN2_LOW);
}

INLINED real exp_of(real x) /* from the smallest normal number up, and 0 below */
{
    real power;
    const real expm1 = expm1_and_power(at_most_so_large(EXP_MOST, x), &power);
    const real e = power + power * expm1;
    return x < EXP_LEAST ? 0 : x > EXP_MOST ? (real)INFINITY : x == x ? e : x;
}

INLINED real expm1_of(real x) /* exp(x) - 1, exact near 0 */
{
    real power;
    const real expm1 = expm1_and_power(at_most_so_large(EXP_MOST, x), &power);
    const real e = power * expm1 + (power - 1);
    return x > EXP_MOST ? (real)INFINITY : x == x ? e : x;
}

INLINED real sigmoid_of(real z) /* 1 / (1 + exp(-z)), not below the smallest normal number */
{
    real power;
    const real expm1 = expm1_and_power(at_most_so_large(-EXP_LEAST, -z), &power);
    const real a = 1 / (1 + (power + power * expm1));
    return z == z ? a : z;
}

INLINED real tanh_of(real z) /* -e / (2 + e), e = exp(-2 |z|) - 1 */
{
    real power;
    const real expm1 = expm1_and_power(-2 * size_at_most(40, z), &power);
    const real e = power * expm1 + (power - 1);
    const real a = with_sign_of(z, e / (2 + e));
    return z == z ? a : z;
}

#endif
