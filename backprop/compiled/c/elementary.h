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

/* Where a compiler may leave out what is added and taken away again, or adds up with more digits. */
#if defined(__FAST_MATH__) || (defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0)
#define NOTHING_IS_ROUNDED
#endif

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
#ifdef NOTHING_IS_ROUNDED
    const real k = real_floor(x * (real)1.4426950408889634 + (real)0.5);
    *power = real_of(((bits)(integer)k + EXPONENT_OF_1) << MANTISSA);
#else
    const real shifted = x * (real)1.4426950408889634 + ONLY_WHOLE;
    const real k = shifted - ONLY_WHOLE;
    *power = real_of((bits_of(shifted) + EXPONENT_OF_1) << MANTISSA);
#endif
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

/* Phi(z), the normal distribution, and its density. For x >= 0, x = |z| / sqrt 2, erfc(x) is
 * exp(-x^2) / (1 + 2 x) times what is nearly a polynomial in (x - k) / (x + k). Source: Shepherd and
 * Laframboise, "Chebyshev Approximation of (1 + 2 x) exp(x^2) erfc x", 1981. */
INLINED real normal_cdf_and_density(real z, real *density)
{
    const real e = exp_of((real)-0.5 * z * z);
    const real x = size_at_most(10000, z) * (real)0.70710678118654752440;
#ifdef BACKPROP_DOUBLE
    const real t = (x - 3.5) / (x + 3.5);
    real sum = 6.040390099342991e-11;
    sum = sum * t + 6.9218472424089395e-09;
    sum = sum * t + 6.651894382376532e-10;
    sum = sum * t - 7.964393647370803e-08;
    sum = sum * t - 8.611571571113718e-09;
    sum = sum * t + 5.776043883970019e-07;
    sum = sum * t - 4.309237398316666e-08;
    sum = sum * t - 3.7926480612187637e-06;
    sum = sum * t + 2.3273309537791425e-06;
    sum = sum * t + 2.42478383463427e-05;
    sum = sum * t - 4.2781739959539994e-05;
    sum = sum * t - 0.00012150735579328694;
    sum = sum * t + 0.0005643842668705102;
    sum = sum * t - 0.00030226912344206617;
    sum = sum * t - 0.004215019879774186;
    sum = sum * t + 0.019099331128772476;
    sum = sum * t - 0.04882332583088402;
    sum = sum * t + 0.08798315380941167;
    sum = sum * t - 0.11508959816003075;
    sum = sum * t + 0.09751909515384956;
    sum = sum * t - 0.010555596332221669;
    sum = sum * t - 0.1400091801376261;
    sum = sum * t + 1.2423492448711544;
#else
    const real t = (x - 3.0f) / (x + 3.0f);
    real sum = 7.73102422e-05f;
    sum = sum * t - 9.25451669e-05f;
    sum = sum * t - 0.000726453679f;
    sum = sum * t + 0.00187507912f;
    sum = sum * t + 0.00249911687f;
    sum = sum * t - 0.0237635764f;
    sum = sum * t + 0.0683165678f;
    sum = sum * t - 0.119275275f;
    sum = sum * t + 0.129644114f;
    sum = sum * t - 0.0475621569f;
    sum = sum * t - 0.135621069f;
    sum = sum * t + 1.25300806f;
#endif
    const real tail = (real)0.5 * e * sum / (1 + 2 * x);
    *density = e * (real)0.39894228040143267794;
    return z > 0 ? 1 - tail : tail;
}

#endif
