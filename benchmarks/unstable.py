"""Logs whose words change after training: what each way to find the old template again keeps of the verdicts.

    python -m benchmarks.unstable --data hdfs_2pct_supervised [--encoder NAME] [--model NAME] [--logllm] ...

LogRobust's protocol (Zhang et al., FSE 2019) written anew on real log text. The test alone is changed, at five rates
and with five seeds: `edits` replace, remove or insert one or two words, `synonyms` replace every listed word
(benchmarks/rewording.py); `template` changes a share of the templates, each in one way, as an update does, `line` a
share of the lines, each for itself. Beside them: really new harmless events in a share of the sequences; faults, which
are normal sequences where a really new text stands beside, or in place of, an event; and events lost, repeated or moved
(runs/changes.py). All proposals are accepted, as a careless analyst would.

Verdicts (benchmarks/unstable_verdicts.py): a count vector that no training normal has; the tail probability, calibrated
at 1 %, of the bigram and, with --model, of a next-key model; and, where the folder has labeled anomalies to train on, a
decision tree on counts. For the tree the old templates are those of the labeled training, for the others those of its
normals. --logllm adds LogLLM, which reads the changed texts as they are: nothing is proposed to it.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from benchmarks.command import parser_of, run
from benchmarks.rewording import FAULTS, HARMLESS, Reword, edit, replace_all
from benchmarks.unstable_verdicts import Learned, learn
from core.data import Data, Labeled, open_data
from core.evolution import SAME, accepted, apply
from core.keys import Sequences
from methods.words import matching
from methods.words.places import Expected
from methods.words.sentence_encoders import SentenceEncoder
from parsing.templates.messages import template_key
from runs import changes

RATES = (0.05, 0.10, 0.15, 0.20, 0.30)
SEEDS = 5
Propose = Callable[[Mapping[str, str], Mapping[str, str], Sequences, Expected], pl.DataFrame]


class Changed(NamedTuple):
    """A changed test: sequences, labels, the words of its new keys, and which rows were made anomalous."""

    sequences: list[list[str]]
    labels: np.ndarray
    words: dict[str, str]
    made: np.ndarray


# -------------------------------------------------------------------------------------------------------- changes


def reword(test: Labeled, templates: Mapping[str, str], rate: float, seed: int, how: Reword, by_line: bool) -> Changed:
    """Return the test with a share of its lines, or of its templates, in other words."""
    chance, words = np.random.default_rng(seed), {}

    def other(key: str) -> str:
        text = how(templates[key], chance)
        found = template_key(text)
        if found not in templates:
            words[found] = text
        return found

    if by_line:
        sequences = [[other(key) if chance.random() < rate else key for key in keys] for keys in test.sequences]
    else:
        present = sorted({key for keys in test.sequences for key in keys})
        chosen = chance.choice(present, max(1, round(rate * len(present))), replace=False).tolist()
        sequences = apply(test.sequences, {key: other(key) for key in chosen})
    return Changed(sequences, test.labels, words, np.zeros(len(test.labels), bool))


def insert_new(
    test: Labeled, rate: float, seed: int, texts: tuple[str, ...], fault: bool, in_place_of: tuple[str, ...] = ()
) -> Changed:
    """Return the test with a new text in a share of its sequences, which are anomalies then if it is a `fault`.

    It stands at a place drawn by chance; with `in_place_of`, one key a text, for the first such event instead. Faults
    come to normal sequences alone.
    """
    chance, sequences, labels = np.random.default_rng(seed), [], test.labels.copy()
    made = np.zeros(len(labels), bool)
    for row, keys in enumerate(test.sequences):
        number, changed = int(chance.integers(len(texts))), list(keys)
        can = not (fault and labels[row]) and (not in_place_of or in_place_of[number] in keys)
        if can and chance.random() < rate:
            if in_place_of:
                changed[keys.index(in_place_of[number])] = template_key(texts[number])
            else:
                changed.insert(int(chance.integers(len(keys) + 1)), template_key(texts[number]))
            made[row] = fault
        sequences.append(changed)
    labels[made] = 1
    return Changed(sequences, labels, {template_key(text): text for text in texts}, made)


def all_changes(data: Data, rates: tuple[float, ...], seeds: int) -> Iterator[tuple[str, float, int, Changed]]:
    """Yield arm, rate, seed and the changed test; the untouched one first."""
    test, templates = data.labeled("test"), words_of(data)
    none = np.zeros(len(test.labels), bool)
    common = sorted(changes.common_events(data.labeled("train")))[: len(FAULTS)]
    yield "untouched", 0.0, 0, Changed(test.sequences, test.labels, {}, none)
    for rate in rates:
        for seed in range(seeds):
            for name, how in (("edits", edit), ("synonyms", replace_all)):
                yield f"{name}, line", rate, seed, reword(test, templates, rate, seed, how, by_line=True)
                yield f"{name}, template", rate, seed, reword(test, templates, rate, seed, how, by_line=False)
            yield "new harmless events", rate, seed, insert_new(test, rate, seed, HARMLESS, fault=False)
            yield "faults beside an event", rate, seed, insert_new(test, rate, seed, FAULTS, fault=True)
            replaced = insert_new(test, rate, seed, FAULTS[: len(common)], True, tuple(common))
            yield "faults in place of an event", rate, seed, replaced
            moved = changes.unstable(data, seed, rate).test
            yield "sequence changes", rate, seed, Changed(moved.sequences, moved.labels, {}, none)


def words_of(data: Data) -> dict[str, str]:
    """Return the template of each key that has one."""
    return {key: text for key, text in data.templates.items() if text is not None}


# -------------------------------------------------------------------------------------------------------- methods


def nearest(similarity: matching.Similarity) -> Propose:
    """Return proposals of the most similar old template, whatever stands around it."""

    def propose(known: Mapping[str, str], new: Mapping[str, str], sequences: Sequences, expected: Expected):
        old = [key for key in expected.keys.keys if key in known]
        best = similarity(list(new.values()), [known[key] for key in old]).argmax(1)
        return pl.DataFrame({"key": list(new), "proposed_key": [old[place] for place in best]})

    return propose


def in_context(similarity: matching.Similarity, beta: float) -> Propose:
    """Return proposals by pooled context and this similarity."""

    def propose(known: Mapping[str, str], new: Mapping[str, str], sequences: Sequences, expected: Expected):
        return matching.propose(known, new, sequences, expected, similarity, beta)

    return propose


def methods(encoder: str | None) -> dict[str, Propose | None]:
    """Return how each method proposes old keys; None for exact keys."""
    found: dict[str, Propose | None] = {
        "exact keys": None,
        "nearest, Jaccard": nearest(matching.jaccard),
        "context + TF-IDF": in_context(matching.tfidf, matching.BETA),
    }
    if encoder:
        meaning = matching.by_encoder(remembered(SentenceEncoder(encoder)))
        both = matching.largest_of(meaning, matching.tfidf)
        found["nearest, encoder"] = nearest(meaning)
        found["context + encoder"] = in_context(meaning, matching.BETA)
        found["context + encoder + TF-IDF"] = in_context(both, matching.BETA_OF_TWO)
    return found


def remembered(encoder: SentenceEncoder) -> Callable[[list[str]], np.ndarray]:
    """Return the encoder with a memory: the same text comes again under every method and seed."""
    vectors: dict[str, np.ndarray] = {}

    def encode(texts: list[str]) -> np.ndarray:
        fresh = sorted(set(texts) - vectors.keys(), key=len)  # alike lengths in a batch: less padding
        if fresh:
            vectors.update(zip(fresh, encoder(fresh), strict=True))
        return np.array([vectors[text] for text in texts])

    return encode


# ------------------------------------------------------------------------------------------------------- verdicts


def mapped(propose: Propose | None, changed: Changed, words: dict[str, str], expected: Expected) -> list:
    """Return the changed test with every proposal accepted."""
    known = {key: text for key, text in words.items() if key in set(expected.keys.keys)}
    new = sorted({key for keys in changed.sequences for key in keys} - known.keys())
    if propose is None or not new:
        return changed.sequences
    texts = words | changed.words
    table = propose(known, {key: texts[key] for key in new}, changed.sequences, expected)
    return apply(changed.sequences, accepted(table.with_columns(answer=pl.lit(SAME)).drop_nulls("proposed_key")))


def measure_all(
    data: Data, learned: Learned, encoder: str | None, rates: tuple[float, ...], seeds: int
) -> pl.DataFrame:
    """Return one row an arm, rate, seed, method and verdict: `f1, precision, recall, made_recall`."""
    ways, words, rows = methods(encoder), words_of(data), []
    for arm, rate, seed, changed in all_changes(data, rates, seeds):
        about = (arm, rate, seed)
        for name, propose in ways.items():
            free = mapped(propose, changed, words, learned.normals)
            labeled = mapped(propose, changed, words, learned.everything) if learned.tree else free
            for verdict, flags in learned.judge(free, labeled).items():
                rows.append((*about, name, verdict, *figures(flags, changed)))
        if learned.logllm:
            flags = learned.judge_texts(changed.sequences, words | changed.words)
            rows.append((*about, "texts as they are", "logllm", *figures(flags, changed)))
    names = ["arm", "rate", "seed", "method", "verdict", "f1", "precision", "recall", "made_recall"]
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def figures(flags: np.ndarray, changed: Changed) -> tuple[float, float, float, float | None]:
    """Return F1, precision and recall, and the recall of the anomalies that were made, None where none were."""
    anomalous = changed.labels == 1
    hits = int((flags & anomalous).sum())
    precision, recall = hits / max(int(flags.sum()), 1), hits / max(int(anomalous.sum()), 1)
    f1 = 2 * hits / max(int(flags.sum()) + int(anomalous.sum()), 1)
    return f1, precision, recall, float(flags[changed.made].mean()) if changed.made.any() else None


# --------------------------------------------------------------------------------------------------------- tables


def markdown(rows: pl.DataFrame, figure: str) -> str:
    """Return the mean of a figure over seeds, one row an arm, verdict and method, one column a rate."""
    means = rows.drop_nulls(figure).group_by("arm", "verdict", "method", "rate", maintain_order=True)
    wide = means.agg(pl.col(figure).mean()).pivot("rate", index=["arm", "verdict", "method"])
    wide = wide.sort("verdict", maintain_order=True).sort("arm", maintain_order=True)
    cells = [
        [one if isinstance(one, str) else "-" if one is None else f"{one:.2f}" for one in row]
        for row in wide.iter_rows()
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [wide.columns, ["---"] * wide.width, *cells])


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Print both tables, write --csv; return the mean F1 by name."""
    data = open_data(options.data)
    learned = learn(data, options.model, options.logllm, options.encoder)
    rows = measure_all(data, learned, options.encoder, RATES, options.seeds)
    if options.csv:
        rows.write_csv(options.csv)
    print(f"F1, mean of {options.seeds} seeds\n\n{markdown(rows, 'f1')}\n")
    print(f"share of the made faults that is found\n\n{markdown(rows, 'made_recall')}\n")
    means = rows.group_by("arm", "rate", "method", "verdict", maintain_order=True).agg(pl.col("f1").mean())
    return {f"{arm}, {rate:.2f}, {method}, {verdict}": f1 for arm, rate, method, verdict, f1 in means.iter_rows()}


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", default="sample_supervised", help="folder of data/ (default: sample_supervised)")
    parser.add_argument("--encoder", help="a sentence encoder by its name on the hub or its folder; none without")
    parser.add_argument("--model", help="a model of next keys, such as tiny-llama, as another verdict; none without")
    parser.add_argument("--logllm", action="store_true", help="LogLLM with tiny-llama and --encoder as another verdict")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"of the changes, at each rate (default: {SEEDS})")
    parser.add_argument("--csv", type=Path, help="write one row an arm, rate, seed, method and verdict here")
    run(parser.parse_args(), measure, table=False)
