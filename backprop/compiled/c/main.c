/* The program of an exported network: examples from stdin, their outputs to stdout, a line each.
 *
 * Of a network that trains, one that is given a learning rate learns: after its numbers an example
 * has those of its target, its outputs are printed as they are before it is learnt from, and every
 * BATCH examples a step is taken. Exit status 0; 1 where the cost is no finite number, 2 for what
 * cannot be read or written. */
#include <stdio.h>
#include <stdlib.h>

#ifdef BACKPROP_DOUBLE
#define READ "%lf"
#define WRITE "%s%.17g"
#else
#define READ "%f"
#define WRITE "%s%.9g"
#endif

/* 0 if all was read and all was written, else 2, and a line that says what was not. */
static int ended(void)
{
    const char *const what = ferror(stdin) ? "read" : fflush(stdout) || ferror(stdout) ? "written" : NULL;
    if (what != NULL)
        fprintf(stderr, "not all could be %s\n", what);
    return what == NULL ? 0 : 2;
}

/* What follows below: example b of those that are in memory is read, predicted, learnt from. */
static int read_input(long example, int b); /* 0 if there is none */
static void print_outputs(int b);
#ifdef TRAINS
static int read_target(long example, int b);
static int learn(double eta); /* what the function that trains returns */
#endif

INLINED void refuse(long example, int number, const char *what)
{
    fprintf(stderr, "number %d of example %ld %s\n", number + 1, example + 1, what);
    exit(2);
}

/* n numbers of an example, from its number `first` on; 0 if the input ends before the example. */
INLINED int read_numbers(long example, int first, int n, real *x)
{
    for (int i = 0; i < n; i++) {
        const int found = scanf(READ, x + i);
        if (found == EOF && first + i == 0)
            return 0;
        if (found != 1)
            refuse(example, first + i, found == EOF ? "is not there" : "is no number");
    }
    return 1;
}

INLINED int read_integers(long example, int first, int n, long least, long below, int32_t *x)
{
    for (int i = 0; i < n; i++) {
        double number = 0;
        const int found = scanf("%lf", &number);
        if (found == EOF && first + i == 0)
            return 0;
        if (found != 1 || number != floor(number))
            refuse(example, first + i, found == EOF ? "is not there" : "is no integer");
        if (number < least || number >= below)
            refuse(example, first + i, "is out of range");
        x[i] = (int32_t)number;
    }
    return 1;
}

INLINED void print_numbers(int number, int n, const real *x)
{
    for (int i = 0; i < n; i++)
        printf(WRITE, number + i ? " " : "", x[i]);
}

#ifdef TRAINS
int main(int count, char **arguments)
{
    const int learning = count > 1;
    char *end = NULL;
    const double eta = learning ? strtod(arguments[1], &end) : 0;
    if (learning && (count > 2 || end == arguments[1] || *end || !isfinite(eta))) {
        fprintf(stderr, "there is one argument, the learning rate\n");
        return 2;
    }
#else
int main(void)
{
#endif
    for (long example = 0;; example++) {
        const int b = (int)(example % BATCH);
        if (!read_input(example, b))
            return ended();
#ifdef TRAINS
        if (learning)
            read_target(example, b);
#endif
        print_outputs(b);
#ifdef TRAINS
        const int failed = learning && b == BATCH - 1 ? learn(eta) : 0;
        if (failed) {
            const char *what = failed == 1 ? "the cost is" : "squares of gradients are";
            fprintf(stderr, "%s no finite number at example %ld\n", what, example + 1);
            return 1;
        }
#endif
    }
}
