/* The program of an exported network: examples from stdin, their outputs to stdout, a line each.
 *
 * Of a network that trains, one that is given a learning rate learns: after its numbers an example
 * has those of its target, its outputs are printed as they are before it is learnt from, and every
 * BATCH examples a step is taken. Exit status 0; 1 where the cost is no finite number, 2 for what
 * cannot be read or written. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef BACKPROP_DOUBLE
#define AS_REAL strtod
#define WRITE "%s%.17g"
#else
#define AS_REAL strtof
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

static char word[4096]; /* of the input, up to white space */

static void refuse(long example, int number, const char *what)
{
    const char *const before = *word ? ": " : "";
    fprintf(stderr, "number %d of example %ld %s%s%.60s\n", number + 1, example + 1, what, before,
            word);
    exit(2);
}

/* Reads the next word, and returns its length; 0 if the input ends before the example. */
static int next_word(long example, int number)
{
    int length = 0, c = getchar();
    while (isspace(c))
        c = getchar();
    for (; c != EOF && !isspace(c) && length < (int)sizeof word - 1; c = getchar())
        word[length++] = (char)c;
    word[length] = '\0';
    if (length == (int)sizeof word - 1)
        refuse(example, number, "is too long");
    if (length == 0 && ferror(stdin))
        exit(ended());
    if (length == 0 && number > 0)
        refuse(example, number, "is not there");
    return length;
}

/* n numbers of an example, from its number `first` on; 0 if the input ends before the example. */
INLINED int read_numbers(long example, int first, int n, real *x)
{
    for (int i = 0; i < n; i++) {
        const int length = next_word(example, first + i);
        char *end = word;
        if (length == 0)
            return 0;
        errno = 0;
        x[i] = AS_REAL(word, &end);
        if (end != word + length)
            refuse(example, first + i, "is no number");
        if (isalpha((unsigned char)word[strspn(word, "+-")])) /* whatever the options */
            refuse(example, first + i, "is not finite");
        if (errno == ERANGE && (x[i] > 1 || x[i] < -1))
            refuse(example, first + i, "is too large");
    }
    return 1;
}

INLINED int read_integers(long example, int first, int n, long least, long below, int32_t *x)
{
    for (int i = 0; i < n; i++) {
        const int length = next_word(example, first + i);
        char *end = word;
        if (length == 0)
            return 0;
        const double number = strtod(word, &end);
        const int finite = !isalpha((unsigned char)word[strspn(word, "+-")]);
        if (end != word + length || !finite || number != floor(number))
            refuse(example, first + i, "is no integer");
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

int main(int count, char **arguments)
{
#ifdef TRAINS
    const int learning = count > 1;
    char *end = NULL;
    const double eta = learning ? strtod(arguments[1], &end) : 0;
    if (learning && (count > 2 || end == arguments[1] || *end || !isfinite(eta))) {
        fprintf(stderr, "there is one argument, the learning rate\n");
        return 2;
    }
#else
    (void)arguments;
    if (count > 1) {
        fprintf(stderr, "there is no argument: this network was written without training\n");
        return 2;
    }
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
        if (fflush(stdout)) /* whoever writes examples may be waiting for it */
            return ended();
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
