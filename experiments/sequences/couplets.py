"""Rhymed couplets that a small grammar makes up: the text of the character experiments.

Every line below the rules is drawn from them, so that one can measure what a network has learnt:
the words, quotation marks and brackets that close, the agreement of subject and verb across a
clause between them, and the rhyme, which lies a whole line back. The entropy of the text is known,
too: no model has fewer bits per character. Run by itself it prints couplets and these numbers.

    python -m experiments.sequences.couplets [--couplets 6] [--seed 0]
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

# What stands in <> is another rule. N and M stand for one or many, R for a rhyme; a letter is the
# same all over a rule. All alternatives of a rule, with all values of its letters, are equally
# likely.
LETTERS = {
    "N": ("one", "many"),
    "M": ("one", "many"),
    "R": ("night", "sea", "day", "moon"),
}
RULES = {
    "couplet": ["<tale R>,\n<talk R>.\n\n"],
    "tale R": ["<subject N> <act N> <end R>"],
    "talk R": ['"<act many>," <say N> the <noun N> <end R>'],
    "subject N": [
        "the <noun N>",
        "the <adjective> <noun N>",
        "the <noun N> that <see N> the <noun M>",
        "the <noun N> that the <noun M> <see M>",
        "the <noun N> (<say M> the <noun M>)",
    ],
    "adjective": ["old", "shy", "red", "big", "sad", "kind"],
    "noun one": ["cat", "fox", "owl", "hen", "pig", "goose", "mouse", "child"],
    "noun many": ["cats", "foxes", "owls", "hens", "pigs", "geese", "mice", "children"],
    "see one": ["sees", "hears", "likes", "knows", "finds", "fears"],
    "see many": ["see", "hear", "like", "know", "find", "fear"],
    "say one": ["says", "asks", "sings"],
    "say many": ["say", "ask", "sing"],
    "act one": ["hops", "sits", "hums", "waits", "runs", "plays"],
    "act many": ["hop", "sit", "hum", "wait", "run", "play"],
    "end night": ["all night", "at night", "in sight", "in the light"],
    "end sea": ["at three", "up a tree", "for free", "by the sea"],
    "end day": ["all day", "far away", "in the hay", "by the bay"],
    "end moon": ["at noon", "in june", "to a tune", "by the moon"],
}


def settings(rule: str, known: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield the values of the letters in a rule: all choices for those not known yet."""
    free = [letter for letter in LETTERS if letter in rule and letter not in known]
    for values in itertools.product(*(LETTERS[letter] for letter in free)):
        yield {**known, **dict(zip(free, values, strict=True))}


def fill(rule: str, values: dict[str, str]) -> str:
    """Put the values in the place of the letters."""
    return re.sub("[NMR]", lambda letter: values[letter[0]], rule)


GRAMMAR = {  # "<line sea>" to its alternatives, each a list of rules and plain texts
    f"<{fill(name, known)}>": [
        re.findall("<[^>]+>|[^<]+", fill(rule, values))
        for rule in rules
        for values in settings(rule, known)
    ]
    for name, rules in RULES.items()
    for known in settings(name, {})
}
TEXTS = [part for parts in itertools.chain(*GRAMMAR.values()) for part in parts if "<" not in part]
ALPHABET = sorted(set("".join(TEXTS)))
WORDS = set(re.findall("[a-z]+", " ".join(TEXTS)))
RHYMES = {end: rhyme for rhyme in LETTERS["R"] for end in RULES[f"end {rhyme}"]}
PLURALS = {
    one: many
    for kind in ("noun", "see", "say", "act")
    for one, many in zip(RULES[f"{kind} one"], RULES[f"{kind} many"], strict=True)
}


def write(rng: np.random.Generator, part: str = "<couplet>") -> str:
    """Return a text that `part`, a rule or a plain text, stands for."""
    if part not in GRAMMAR:
        return part
    alternatives = GRAMMAR[part]
    return "".join(write(rng, p) for p in alternatives[rng.integers(len(alternatives))])


def entropy(part: str = "<couplet>") -> float:
    """Return the entropy of what `write` returns, in bits: every choice is made in the open."""
    if part not in GRAMMAR:
        return 0.0
    alternatives = GRAMMAR[part]
    below = sum(entropy(p) for p in itertools.chain(*alternatives))
    return math.log2(len(alternatives)) + below / len(alternatives)


def mean_length(part: str = "<couplet>") -> float:
    """Return the mean number of characters of what `write` returns."""
    if part not in GRAMMAR:
        return len(part)
    alternatives = GRAMMAR[part]
    return sum(mean_length(p) for p in itertools.chain(*alternatives)) / len(alternatives)


def probability(text: str, rule: str = "<couplet>") -> float:
    """Return how probable it is that the rule gives this very text: 0 if it cannot."""

    @lru_cache(None)
    def ends(part: str, start: int) -> Counter[int]:
        """Return where a text from `part` may end that begins at `start`, each with its chance."""
        if part not in GRAMMAR:  # such as "<tale >", of a line that has no rhyme
            return Counter({start + len(part): 1.0} if text.startswith(part, start) else {})
        found: Counter[int] = Counter()
        for alternative in GRAMMAR[part]:
            reached = {start: 1 / len(GRAMMAR[part])}
            for p in alternative:
                steps = [(e, c * q) for at, q in reached.items() for e, c in ends(p, at).items()]
                reached = Counter()
                for end, chance in steps:
                    reached[end] += chance
            found.update(reached)
        return found

    return ends(rule, 0)[len(text)]


# -- what a text is worth --------------------------------------------------------------------


def score(couplets: list[str]) -> dict[str, float]:
    """Return which shares of couplets, as a network has written them, are right.

    "words" that exist; "forms", lines that are right but for the number of nouns and verbs;
    "lines" that are right; "rhymes", couplets of two lines that rhyme; "couplets" that are right.
    """
    words = re.findall("[a-z]+", "".join(couplets))
    verses = [[line[:-1] for line in couplet.split("\n") if line] for couplet in couplets]
    lines = list(itertools.chain(*verses))
    rhymes = [[rhyme_of(line) for line in verse] for verse in verses]
    return {
        "words": share([word in WORDS for word in words]),
        "forms": share([is_line(in_plural(line)) for line in lines]),
        "lines": share([is_line(line) for line in lines]),
        "rhymes": share([len(found) == 2 and found[0] == found[1] != "" for found in rhymes]),
        "couplets": share([probability(couplet) > 0 for couplet in couplets]),
    }


def share(truths: list[bool]) -> float:
    """Return which share is true, 0 of none."""
    return round(sum(truths) / max(1, len(truths)), 4)


def is_line(line: str) -> bool:
    """Say whether the grammar has this line, without the mark at its end."""
    rhyme = rhyme_of(line)
    return any(probability(line, f"<{kind} {rhyme}>") > 0 for kind in ("tale", "talk"))


def in_plural(line: str) -> str:
    """Put all nouns and verbs into the plural, so that all agree."""
    return re.sub("[a-z]+", lambda word: PLURALS.get(word[0], word[0]), line)


def rhyme_of(line: str) -> str:
    """Return the rhyme that the line ends with, "" if with none."""
    return next((rhyme for end, rhyme in RHYMES.items() if line.endswith(" " + end)), "")


def baselines(training: list[str], test: list[str]) -> dict[str, float]:
    """Return the bits per character of the test text for who knows less, or all."""
    true = -sum(math.log2(probability(couplet)) for couplet in test)
    names = {1: "single characters", 2: "pairs", 3: "triples"}
    return {
        "all alike": math.log2(len(ALPHABET)),
        **{name: _ngram_bits("".join(training), "".join(test), n) for n, name in names.items()},
        "the grammar": true / len("".join(test)),
    }


def _ngram_bits(training: str, test: str, n: int) -> float:
    """Predict a character from the n - 1 before it by counting, 1 added to every count."""
    counts, contexts = (Counter(_windows(training, size)) for size in (n, n - 1))
    chances = [
        (counts[window] + 1) / (contexts[window[:-1]] + len(ALPHABET))
        for window in _windows(test, n)
    ]
    return -sum(map(math.log2, chances)) / len(chances)


def _windows(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(len(text) - size + 1)]


# -- characters as numbers -------------------------------------------------------------------


def encode(text: str) -> np.ndarray:
    """Return the tokens of a text, places in the alphabet."""
    return np.array([ALPHABET.index(character) for character in text])


def first_couplets(tokens: np.ndarray) -> list[str]:
    """Return what stands in every column of tokens, T x B, up to the first empty line."""
    texts = ("".join(ALPHABET[token] for token in column) for column in tokens.T)
    return ["".join(text.partition("\n\n")[:2]) for text in texts]


def choose(a: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a token from every column of probabilities, proportional to a^(1 / temperature)."""
    noise = rng.gumbel(size=a.shape)  # the largest log p + Gumbel noise is a draw from p
    return (np.log(a + 1e-30) / temperature + noise).argmax(axis=0)


def main() -> None:
    """Print what the text is like."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--couplets", type=int, default=6, help="to be printed")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    print("".join(write(rng) for _ in range(arguments.couplets)))
    training, test = ([write(rng) for _ in range(n)] for n in (5000, 400))
    for name, bits in baselines(training, test).items():
        print(f"{bits:6.3f} bits per character: {name}")
    print(f"{entropy() / mean_length():6.3f} the grammar, on average over all texts")
    print(f"a couplet has {entropy():.1f} bits and {mean_length():.1f} characters on average")


if __name__ == "__main__":
    main()
