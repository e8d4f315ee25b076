/* Several threads at one piece of work, which is cut into parts.
 *
 * Each has a share of its own, the same rows of every array, so that they stay in the cache of its
 * core; whoever has done it takes what is left of the others'. How the work is cut does not depend
 * on how many there are: neither do the bits. Who waits does so awake for some microseconds only,
 * then asleep: on a core that has something else to do, a thread that waits awake takes the time
 * of the one it waits for. The helpers come when there is work for the first time, and go at the
 * end of a program.
 */
#ifndef BACKPROP_TEAM_H
#define BACKPROP_TEAM_H

#include "real.h"

typedef void (*part_of_work)(void *work, int part);

#ifdef BACKPROP_ALONE

INLINED void share(int parts, part_of_work do_part, void *work)
{
    for (int part = 0; part < parts; part++)
        do_part(work, part);
}

#else

#include <pthread.h>

enum { MOST_HELPERS = 15, AWAKE = 1000 }; /* AWAKE: looks before going to sleep */

/* What a thread is to do next: round, end of its parts, and next of them in one number, so that
 * they are read and changed together. */
enum { PART_BITS = 20 };
static const uint64_t PART_MASK = (UINT64_C(1) << PART_BITS) - 1;

struct member {
    struct team *team;
    pthread_t thread;
    uint64_t ticket;
    char line[64]; /* tickets are changed by several cores: no two in one line of the cache */
};

struct team {
    int helpers, started, end, undone, asleep, main_asleep;
    part_of_work do_part;
    void *work;
    pthread_mutex_t lock;
    pthread_cond_t there_is_work, all_is_done;
    struct member members[MOST_HELPERS + 1]; /* the main one first */
};

static PER_THREAD struct team *my_team;

INLINED void look_again_soon(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

INLINED uint64_t round_of(const struct member *member)
{
    return __atomic_load_n(&member->ticket, __ATOMIC_ACQUIRE) >> 2 * PART_BITS;
}

/* Do parts as long as there are some that nobody has taken: one's own first. */
CALLED void do_parts(struct team *team, int own)
{
    const int members = team->started + 1;
    for (int whose = own; whose < own + members; whose++)
        for (uint64_t *const ticket = &team->members[whose % members].ticket;;) {
            const uint64_t taken = __atomic_fetch_add(ticket, 1, __ATOMIC_ACQ_REL);
            const uint64_t part = taken & PART_MASK, end = taken >> PART_BITS & PART_MASK;
            if (part >= end)
                break;
            team->do_part(team->work, (int)part);
            /* One order of all four: either this thread sees that the main one goes to sleep, or
             * that one sees that nothing is left undone. */
            if (__atomic_sub_fetch(&team->undone, 1, __ATOMIC_SEQ_CST) == 0
                && __atomic_load_n(&team->main_asleep, __ATOMIC_SEQ_CST)) {
                pthread_mutex_lock(&team->lock);
                pthread_cond_signal(&team->all_is_done);
                pthread_mutex_unlock(&team->lock);
            }
        }
}

static void *help(void *argument)
{
    struct member *const me = argument;
    struct team *const team = me->team;
    uint64_t round = 0;
    for (;;) {
        int looks = 0;
        while (round_of(me) == round && !__atomic_load_n(&team->end, __ATOMIC_ACQUIRE)
               && looks++ < AWAKE)
            look_again_soon();
        if (looks > AWAKE) {
            pthread_mutex_lock(&team->lock);
            team->asleep++;
            while (round_of(me) == round && !__atomic_load_n(&team->end, __ATOMIC_ACQUIRE))
                pthread_cond_wait(&team->there_is_work, &team->lock);
            team->asleep--;
            pthread_mutex_unlock(&team->lock);
        }
        if (__atomic_load_n(&team->end, __ATOMIC_ACQUIRE))
            return NULL;
        round = round_of(me);
        do_parts(team, (int)(me - team->members));
    }
}

/* Let do_part(work, part) be called for all parts, in any order, by several threads. */
CALLED void share(int parts, part_of_work do_part, void *work)
{
    struct team *const team = my_team;
    if (parts < 2 || team == NULL || team->helpers == 0) {
        for (int part = 0; part < parts; part++)
            do_part(work, part);
        return;
    }
    while (team->started < team->helpers) {
        struct member *const next = &team->members[team->started + 1];
        next->team = team;
        if (pthread_create(&next->thread, NULL, help, next) != 0)
            team->helpers = team->started;
        else
            team->started++;
    }
    const uint64_t members = team->started + 1, round = round_of(team->members) + 1;
    team->do_part = do_part, team->work = work;
    __atomic_store_n(&team->undone, parts, __ATOMIC_RELEASE);
    pthread_mutex_lock(&team->lock);
    for (uint64_t i = 0; i < members; i++) {
        const uint64_t start = parts * i / members, end = parts * (i + 1) / members;
        __atomic_store_n(&team->members[i].ticket,
                         round << 2 * PART_BITS | end << PART_BITS | start, __ATOMIC_RELEASE);
    }
    if (team->asleep)
        pthread_cond_broadcast(&team->there_is_work);
    pthread_mutex_unlock(&team->lock);
    do_parts(team, 0);
    for (int looks = 0; looks < AWAKE; looks++) {
        if (__atomic_load_n(&team->undone, __ATOMIC_ACQUIRE) == 0)
            return;
        look_again_soon();
    }
    pthread_mutex_lock(&team->lock);
    __atomic_store_n(&team->main_asleep, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&team->undone, __ATOMIC_SEQ_CST) != 0)
        pthread_cond_wait(&team->all_is_done, &team->lock);
    __atomic_store_n(&team->main_asleep, 0, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&team->lock);
}

/* Within a program: so many threads in all. */
INLINED void begin_team(struct team *team, int64_t threads)
{
    memset(team, 0, sizeof *team);
    team->helpers = threads - 1 > MOST_HELPERS ? MOST_HELPERS : threads < 1 ? 0 : (int)threads - 1;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->there_is_work, NULL);
    pthread_cond_init(&team->all_is_done, NULL);
    my_team = team;
}

INLINED void end_team(struct team *team)
{
    pthread_mutex_lock(&team->lock);
    __atomic_store_n(&team->end, 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&team->there_is_work);
    pthread_mutex_unlock(&team->lock);
    for (int i = 0; i < team->started; i++)
        pthread_join(team->members[i + 1].thread, NULL);
    pthread_cond_destroy(&team->all_is_done);
    pthread_cond_destroy(&team->there_is_work);
    pthread_mutex_destroy(&team->lock);
    my_team = NULL;
}

#endif

/* What is done number by number: name##_each(n, x, y). It is shared where the numbers are so many
 * that it pays. */
enum { FEW_NUMBERS = 1 << 12, MANY_NUMBERS = 1 << 14 };

struct numbers {
    int n;
    const real *x;
    real *y;
};

#define SHARED(name)                                                                           \
    static void name##_of_part(void *work, int part)                                           \
    {                                                                                          \
        const struct numbers *const all = work;                                                \
        const int start = part * FEW_NUMBERS;                                                  \
        name##_each(at_most(all->n - start, FEW_NUMBERS), all->x + start, all->y + start);     \
    }                                                                                          \
    INLINED void name(int n, const real *x, real *y)                                           \
    {                                                                                          \
        struct numbers all = {n, x, y};                                                        \
        if (n >= MANY_NUMBERS)                                                                 \
            share(in_parts(n, FEW_NUMBERS), name##_of_part, &all);                             \
        else                                                                                   \
            name##_each(n, x, y);                                                              \
    }

/* How many rows of n numbers are a part of the work, of about so many; all where they are few. */
INLINED int rows_at_once(int rows, int n, int numbers)
{
    return rows * (long)n < MANY_NUMBERS ? rows : numbers / n + 1;
}

/* -- the examples of a minibatch --------------------------------------------------------------- */

struct examples {
    int B, n, at_once;
    const int64_t *order;
    const real *all;
    real *rows;
};

static void gather_part(void *work, int part)
{
    enum { AHEAD = 4, LINE = 64 / sizeof(real) }; /* so far ahead that a row is near in time */
    const struct examples *const x = work;
    const int n = x->n, end = at_most(x->B, (part + 1) * x->at_once);
    for (int b = part * x->at_once; b < end; b++) {
        for (int i = 0; b + AHEAD < end && i < n; i += LINE)
            __builtin_prefetch(x->all + x->order[b + AHEAD] * n + i);
        memcpy(x->rows + (long)b * n, x->all + x->order[b] * n, sizeof(real) * n);
    }
}

/* B examples of n numbers, taken from all in this order, one after another. */
INLINED void gather(int B, int n, const int64_t *order, const real *all, real *rows)
{
    const int at_once = rows_at_once(B, n, 4 * FEW_NUMBERS);
    struct examples examples = {B, n, at_once, order, all, rows};
    share(in_parts(B, at_once), gather_part, &examples);
}

#endif
