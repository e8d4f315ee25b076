/* How theta moves, for n numbers of it: a step of each rule, shared among threads if n is large.
 *
 * eta is what it is for these numbers in this step; m and v are what a rule carries. Rules that take
 * lambda add the gradient of an L2 penalty to nabla first, while it is near; 0 stands for none.
 */
#ifndef BACKPROP_OPTIMIZERS_H
#define BACKPROP_OPTIMIZERS_H

#include "regularizers.h"
#include "team.h"

struct update {
    int n;
    real *nabla, *m, *v, *theta;
    real eta, keep1, keep2, least, lambda;
};

/* Fewer numbers are where their gradient was computed, by one thread. The writer of programs knows
 * SHARED_FROM too: it gives so large a parameter an update of its own. */
enum { UPDATED_AT_ONCE = 1 << 13, SHARED_FROM = 1 << 17 };

/* The numbers that are one part of the work. */
INLINED struct update numbers_of(const void *work, int part)
{
    struct update u = *(const struct update *)work;
    const int start = part * UPDATED_AT_ONCE;
    u.n = at_most(u.n - start, UPDATED_AT_ONCE);
    u.nabla += start, u.theta += start;
    u.m = u.m ? u.m + start : u.m;
    u.v = u.v ? u.v + start : u.v;
    if (u.lambda)
        l2(u.n, u.lambda, u.theta, u.nabla);
    return u;
}

/* Do all parts of what is done to n numbers; for so few no thread is woken. */
INLINED void for_all_numbers(int n, part_of_work do_part, void *work)
{
    const int parts = in_parts(n, UPDATED_AT_ONCE);
    if (n >= SHARED_FROM)
        share(parts, do_part, work);
    else
        for (int part = 0; part < parts; part++)
            do_part(work, part);
}

INLINED void update_by(part_of_work rule, struct update u) { for_all_numbers(u.n, rule, &u); }

struct squares {
    int n;
    const real *nabla;
    real *sums; /* a sum for every part */
};

static void squares_of_part(void *work, int part)
{
    const struct squares *const all = work;
    const int start = part * UPDATED_AT_ONCE, n = at_most(all->n - start, UPDATED_AT_ONCE);
    all->sums[part] = dot(n, all->nabla + start, all->nabla + start);
}

/* The sum of all nabla^2, of which rules for squares ask whether it fits; not if one is NaN. */
INLINED real sum_of_squares(const int n, const real *nabla)
{
    enum { SUMMED = 256 };
    real sums[SUMMED], total = 0;
    for (int start = 0; start < n; start += SUMMED * UPDATED_AT_ONCE) {
        struct squares part = {at_most(n - start, SUMMED * UPDATED_AT_ONCE), nabla + start, sums};
        for_all_numbers(part.n, squares_of_part, &part);
        total += sum_of(in_parts(part.n, UPDATED_AT_ONCE), sums);
    }
    return total;
}

static void sgd_rule(void *work, int part)
{
    const struct update u = numbers_of(work, part);
    for (int i = 0; i < u.n; i++)
        u.theta[i] -= u.eta * u.nabla[i]; /* theta <- theta - eta nabla */
}

INLINED void sgd(int n, double eta, double lambda, real *nabla, real *theta)
{
    update_by(sgd_rule, (struct update){.n = n, .nabla = nabla, .theta = theta, .eta = (real)eta,
                                        .lambda = (real)lambda});
}

static void momentum_rule(void *work, int part)
{
    const struct update u = numbers_of(work, part);
    for (int i = 0; i < u.n; i++) {
        u.v[i] = u.keep1 * u.v[i] - u.eta * u.nabla[i]; /* v <- mu v - eta nabla */
        u.theta[i] += u.v[i];                           /* theta <- theta + v */
    }
}

INLINED void momentum(int n, double eta, double lambda, double mu, real *nabla, real *v,
                     real *theta)
{
    update_by(momentum_rule,
              (struct update){.n = n, .nabla = nabla, .v = v, .theta = theta, .eta = (real)eta,
                              .keep1 = (real)mu, .lambda = (real)lambda});
}

static void nesterov_rule(void *work, int part)
{
    const struct update u = numbers_of(work, part);
    for (int i = 0; i < u.n; i++) {
        u.v[i] = u.keep1 * u.v[i] - u.eta * u.nabla[i];
        u.theta[i] += u.keep1 * u.v[i] - u.eta * u.nabla[i]; /* theta + mu v - eta nabla */
    }
}

INLINED void nesterov(int n, double eta, double lambda, double mu, real *nabla, real *v,
                     real *theta)
{
    update_by(nesterov_rule,
              (struct update){.n = n, .nabla = nabla, .v = v, .theta = theta, .eta = (real)eta,
                              .keep1 = (real)mu, .lambda = (real)lambda});
}

static void rmsprop_rule(void *work, int part)
{
    const struct update u = numbers_of(work, part);
    for (int i = 0; i < u.n; i++) {
        u.v[i] = u.keep2 * u.v[i] + u.nabla[i] * u.nabla[i];
        u.theta[i] -= u.eta * (u.nabla[i] / (real_sqrt(u.v[i]) + u.least));
    }
}

/* v is the plain sum of rho^k nabla^2, and c = 1 / sqrt(1 - rho). */
INLINED void rmsprop(int n, double eta, double rho, double eps, real *nabla, real *v, real *theta)
{
    const double c = 1 / sqrt(1 - rho);
    update_by(rmsprop_rule,
              (struct update){.n = n, .nabla = nabla, .v = v, .theta = theta,
                              .eta = (real)(eta * c), .keep2 = (real)rho,
                              .least = (real)(eps * c)});
}

static void adam_rule(void *work, int part)
{
    const struct update u = numbers_of(work, part);
    for (int i = 0; i < u.n; i++) {
        u.m[i] = u.keep1 * u.m[i] + u.nabla[i];              /* m_hat = m / sum1 */
        u.v[i] = u.keep2 * u.v[i] + u.nabla[i] * u.nabla[i]; /* sqrt(v_hat) = sqrt(v) / root2 */
        u.theta[i] -= u.eta * (u.m[i] / (real_sqrt(u.v[i]) + u.least));
    }
}

/* m and v are the plain sums of beta1^k nabla and beta2^k nabla^2 over t steps. */
INLINED void adam(int n, int64_t t, double eta, double beta1, double beta2, double eps,
                  real *nabla, real *m, real *v, real *theta)
{
    const double sum1 = (1 - pow(beta1, (double)t)) / (1 - beta1);
    const double root2 = sqrt((1 - pow(beta2, (double)t)) / (1 - beta2));
    update_by(adam_rule,
              (struct update){.n = n, .nabla = nabla, .m = m, .v = v, .theta = theta,
                              .eta = (real)(eta * root2 / sum1), .keep1 = (real)beta1,
                              .keep2 = (real)beta2, .least = (real)(eps * root2)});
}

/* AdamW, before Adam: theta <- theta - eta weight_decay theta, of weights. */
INLINED void decay(int n, double eta, double weight_decay, real *restrict theta)
{
    const real keep = (real)(1 - eta * weight_decay);
    for (int i = 0; i < n; i++)
        theta[i] *= keep;
}

#endif
