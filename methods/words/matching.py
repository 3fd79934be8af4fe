"""Which old template a new one may be a rewording of: by its words, and by the places in which it occurs.

For each new template, over all its occurrences in the new log, the mean of log p(old key | what came before) and that
of log p(what came next | old key) are added to beta times the similarity of the words; the largest sum is proposed.
Neighbors that training never saw are no evidence and are left out. Words alone fail where all of them were replaced;
context alone fails for events that stand in the same places.

These are questions, not answers: a reworded event and a really new one look alike to both (core/evolution.py).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer

from core.evolution import EVOLUTION_SCHEMA
from core.keys import UNSEEN, KeyNumbers, Sequences, weigh
from core.ngrams import NGram
from methods.parts.semantics import Encoder, cosines, encode, split_words

Similarity = Callable[[list[str], list[str]], np.ndarray]  # n new and m known texts to (n, m), 0 to 1 or cosines
BETA = 20.0  # nats that a similarity of 1 is worth
BETA_OF_TWO = 40.0  # of a mean of two similarities, each of which is seldom 1
VANISHED = 2.0  # nats that count for an old key which the new log lacks
LEAST_SIMILAR = 0.3  # below it, and without a known neighbor anywhere, nothing is proposed


# ----------------------------------------------------------------------------------------------------------- words


def jaccard(new: list[str], known: list[str]) -> np.ndarray:
    """Return shared words over all words of each pair, (n, m); 0 for two texts without any."""
    mine, theirs = ([set(split_words(text)) for text in texts] for texts in (new, known))
    return np.array([[len(one & other) / max(len(one | other), 1) for other in theirs] for one in mine])


def tfidf(new: list[str], known: list[str]) -> np.ndarray:
    """Return TF-IDF cosines (n, m), words counted in all the texts given; 0 with a text that has none."""
    vectorizer = TfidfVectorizer(analyzer=split_words).fit([*known, *new])
    return (vectorizer.transform(new) @ vectorizer.transform(known).T).toarray()


def by_encoder(encoder: Encoder) -> Similarity:
    """Return the similarity that is the cosine (n, m) of what `encoder` gives for the texts."""

    def similarity(new: list[str], known: list[str]) -> np.ndarray:
        return cosines(encode(encoder, new), encode(encoder, known))

    return similarity


def mean_of(*similarities: Similarity) -> Similarity:
    """Return the mean of several similarities, each as it is."""
    return lambda new, known: np.mean([one(new, known) for one in similarities], axis=0)


# --------------------------------------------------------------------------------------------------------- context


@dataclass(frozen=True)
class Context:
    """What training expects: `log_probabilities` of histories (n, history) as in `Windows`, (n, V + 1), V the end."""

    keys: KeyNumbers
    history: int
    log_probabilities: Callable[[np.ndarray], np.ndarray]


def bigram_context(training: Sequences) -> Context:
    """Return what the bigram of the training sequences expects."""
    keys = KeyNumbers.of(training)
    bigram = NGram(keys, *weigh(training), order=2)
    return Context(keys, bigram.history, lambda histories: np.log(bigram.probabilities(histories)))


def _occurrences(context: Context, new: Mapping[str, int], sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct places of new keys, (places, 1 + history + 1), and how often each occurs.

    Columns: the number of the new key, the history before it, what came next (V for the end, `UNSEEN` never seen).
    """
    begin, places = len(context.keys), Counter[tuple[int, ...]]()
    for keys, count in zip(*weigh(sequences), strict=True):
        if not any(key in new for key in keys):
            continue
        numbers = context.keys.encode(keys)
        before = [begin] * context.history + np.where(numbers == UNSEEN, begin + 1, numbers).tolist()
        after = [*numbers[1:].tolist(), begin]
        for place, key in enumerate(keys):
            if key in new:
                places[(new[key], *before[place : place + context.history], after[place])] += int(count)
    shape = len(places), context.history + 2
    return np.array(list(places), dtype=np.int64).reshape(shape), np.array(list(places.values()), dtype=float)


def pooled(context: Context, new: list[str], sequences: Sequences) -> np.ndarray:
    """Return how well each known key fits the places of each new key, mean log-probability in nats, (n, V).

    0 for all where every neighbor is itself new: no evidence.
    """
    size, places = len(context.keys), {key: number for number, key in enumerate(new)}
    rows, counts = _occurrences(context, places, sequences)
    owners, histories, after = rows[:, 0], rows[:, 1:-1], rows[:, -1]
    seen_before, seen_after = histories[:, -1] <= size, after != UNSEEN
    before = _mean(
        context.log_probabilities(histories[seen_before])[:, :size], owners[seen_before], counts[seen_before], len(new)
    )
    follows = _follows(context, histories[seen_after], after[seen_after])
    return before + _mean(follows, owners[seen_after], counts[seen_after], len(new))


def _follows(context: Context, histories: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the log-probability of `after` in each place if each known key stood there, (places, V)."""
    size = len(context.keys)
    shown = np.column_stack([np.repeat(histories, size, axis=0), np.tile(np.arange(size), len(histories))])[:, 1:]
    different, rows = np.unique(shown, axis=0, return_inverse=True)
    table = context.log_probabilities(different)
    return table[rows.reshape(-1), np.repeat(after, size)].reshape(len(histories), size)


def _mean(values: np.ndarray, owners: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """Return the mean of the rows of each owner, each as often as it counts, (size, V); 0 for an owner of none."""
    sums = np.zeros((size, values.shape[1]))
    np.add.at(sums, owners, values * counts[:, None])
    return sums / np.maximum(np.bincount(owners, weights=counts, minlength=size), 1)[:, None]


# -------------------------------------------------------------------------------------------------------- proposals


def propose(
    known: Mapping[str, str],
    new: Mapping[str, str],
    sequences: Sequences,
    context: Context,
    similarity: Similarity = tfidf,
    beta: float = BETA,
) -> pl.DataFrame:
    """Return one row a new template, in their order, columns of `EVOLUTION_SCHEMA`, nothing answered.

    `known` and `new` are templates by key, `sequences` the new log. Of the known ones those are proposed that
    `context` has learned. No old key is proposed for a template that has no known neighbor and is like none of them.
    """
    old = [key for key in context.keys.keys if key in known]
    counts = Counter(key for keys in sequences for key in keys)
    if not (old and new):
        return pl.DataFrame(schema=EVOLUTION_SCHEMA)
    alike = similarity(list(new.values()), [known[key] for key in old])
    fits = pooled(context, list(new), sequences)[:, context.keys.encode(old)]
    vanished = np.array([counts[key] == 0 for key in old])
    best = (fits + beta * alike + VANISHED * vanished).argmax(1)
    rows = []
    for number, (key, template) in enumerate(new.items()):
        choice, like = best[number], float(alike[number, best[number]])
        fit = float(fits[number, choice])
        nothing = not fits[number].any() and like < LEAST_SIMILAR
        found = (None,) * 5 if nothing else (old[choice], known[old[choice]], like, fit, bool(vanished[choice]))
        rows.append((key, template, *found, counts[key], None))
    return pl.DataFrame(rows, schema=EVOLUTION_SCHEMA, orient="row")
