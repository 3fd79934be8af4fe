"""Templates that come new: how well do words tell the alerts among them, and where to put the threshold.

    python -m benchmarks.faults --data bgl_time [--encoder NAME] [--asked NAME] [--trained FILE]

The data folder has labeled lines and templates with words in time order, such as one made by `parse_logs.py bgl
--protocol chronological`. Each of `STRETCHES` learns which templates are known from the normal sequences of one part
and is measured on the part after it. Labels measure here and choose nothing. A sequence has the highest score of its
new templates, and one without any comes last. Thresholds that need no label let a stated share of known templates lie
above them, each rated as if it were new:

- `zero`: none; the reader's own middle;
- `each`: each one beside all the others, which is what runs use;
- `groups`: each fifth of them, by first occurrence, beside the other four;
- `later`: the later half beside the earlier half.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.command import parser_of, run
from core.data import Data, open_data
from core.errors import BadInput
from methods.words.encoders import OFFLINE, text_encoder
from methods.words.faults import Anchors, Asked, FaultWords, Trained
from methods.words.matching import Similarity, by_encoder, tfidf
from methods.words.newcomers import Faults, Remembered, rate

STRETCHES = ((0, 0.5, 1), (0, 0.25, 0.5), (0, 0.25, 0.75), (0.25, 0.5, 0.75), (0.25, 0.75, 1), (0.5, 0.75, 1))
SHARES = (0.4, 0.3, 0.2, 0.1)  # of known templates above the threshold
GROUPS = 5
Words = Mapping[str, str]


def alerts(test: pl.DataFrame, known: set[str]) -> dict[str, bool]:
    """Return for each key that comes new in the test whether most of its lines are labeled anomalous."""
    events = test.select(pl.col("keys", "event_labels")).explode("keys", "event_labels")
    new = events.filter(~pl.col("keys").is_in(sorted(known)))
    shares = new.group_by("keys").agg(pl.col("event_labels").cast(pl.Float64).mean())
    return {key: share > 0.5 for key, share in shares.sort("keys").iter_rows() if share is not None}


def highest(sequences: list[list[str]], scores: dict[str, float]) -> np.ndarray:
    """Return the highest score of a new key in each sequence, (n,); below all others where there is none."""
    least = min(scores.values(), default=0.0) - 1.0
    return np.array([max((scores[key] for key in set(keys) & scores.keys()), default=least) for keys in sequences])


def f1(flags: np.ndarray, labels: np.ndarray) -> float:
    """Return F1 of the flags; 0 without a hit."""
    return float(2 * (flags & (labels == 1)).sum() / max(1, flags.sum() + (labels == 1).sum()))


def known_and_test(data: Data, stretch: tuple[float, float, float]) -> tuple[Words, pl.DataFrame]:
    """Return the templates of the normal sequences of a stretch by first occurrence, and the sequences after it."""
    begin, middle, end = (round(part * len(data.sequences)) for part in stretch)
    normal = data.sequences[begin:middle].filter(pl.col("label") == 0)
    keys = normal["keys"].explode().unique(maintain_order=True)
    return {key: data.templates[key] or "" for key in keys}, data.sequences[middle:end]


def held_out(reader: Faults, similarity: Similarity, known: Words) -> Iterator[tuple[str, np.ndarray]]:
    """Return the scores of known templates that were rated as if new, by each way of it."""
    keys = list(known)
    yield "each", rate(reader, similarity, known, {})["fault_score"].to_numpy()
    fifths = [list(part) for part in np.array_split(np.array(keys), min(GROUPS, len(keys)))]
    later = [keys[len(keys) // 2 :]]
    for name, parts in (("groups", fifths), ("later", later)):
        scores = []
        for part in parts:
            others = {key: known[key] for key in keys if key not in part}
            rated = rate(reader, similarity, others, {key: known[key] for key in part})
            scores.append(rated.filter(~pl.col("is_known"))["fault_score"])
        yield name, pl.concat(scores).to_numpy()


def measure_stretch(
    reader: Faults, similarity: Similarity, data: Data, stretch: tuple[float, float, float]
) -> dict[str, float]:
    """Return the figures of one reader on one stretch; raise BadInput if its new templates are all of one kind."""
    known, test = known_and_test(data, stretch)
    is_alert, labels = alerts(test, set(known)), test["label"].to_numpy()
    if len(set(is_alert.values())) < 2:
        raise BadInput(f"The templates that come new in data/{data.name} are not of both kinds.")
    new = {key: data.templates[key] or "" for key in is_alert}
    rated = rate(reader, similarity, known, new).filter(~pl.col("is_known"))
    unread = rated["fault_score"].max() or 0.0  # of a template without words, which is an alarm as the others may be
    scores = dict.fromkeys(new, unread + 1.0) | dict(rated.select("key", "fault_score").iter_rows())
    order = highest(test["keys"].to_list(), scores)
    found = {
        "new templates": len(new),
        "alerts among them": int(sum(is_alert.values())),
        "AUROC of new templates": roc_auc_score(list(is_alert.values()), [scores[key] for key in is_alert]),
        "average precision": average_precision_score(labels, order),
        "F1, every new template an alarm": f1(order >= min(scores.values()), labels),
        "F1, zero": f1(order > 0, labels),
    }
    for way, values in held_out(reader, similarity, known):
        for share in SHARES:
            limit = np.quantile(values, 1 - share, method="higher")
            found[f"F1, {way} {share}"] = f1(order > limit, labels)
            found[f"asked, {way} {share}"] = int(sum(score > limit for score in scores.values()))
    return found


def measure_reader(reader: Faults, similarity: Similarity, data: Data) -> dict[str, float]:
    """Return the figures of the first stretch, and of F1 and average precision the mean and the least of all."""
    every = [measure_stretch(reader, similarity, data, stretch) for stretch in STRETCHES]
    found = dict(every[0])
    for name in [name for name in found if name.startswith(("F1", "average", "AUROC"))]:
        values = [of[name] for of in every]
        found[f"{name}: mean of {len(every)} stretches"] = float(np.mean(values))
        found[f"{name}: least of them"] = min(values)
    return found


def read_labeled(path: Path) -> tuple[list[str], list[int]]:
    """Return the columns `template, label` of a CSV: templates of other systems, 1 for those of a fault.

    Raise BadInput if it is no such table.
    """
    try:
        table = pl.read_csv(path, schema_overrides={"template": pl.String, "label": pl.Int64})
        return table["template"].fill_null("").to_list(), table["label"].to_list()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{path.as_posix()} is no CSV with the columns template and label, 0 or 1.") from error


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Return the figures of each reader."""
    data = open_data(options.data)
    texts = [text for key, text in data.templates.items() if text and key in data.known_keys]
    encoders = {
        name or OFFLINE: Remembered(text_encoder(name, texts)) for name in dict.fromkeys((None, options.encoder))
    }
    readers: list[tuple[Faults, Similarity]] = [(FaultWords(), tfidf)]
    readers += [(Anchors(encoder, name.rpartition("/")[2]), by_encoder(encoder)) for name, encoder in encoders.items()]
    readers += [(Asked(options.asked), tfidf)] if options.asked else []
    if options.trained:
        labeled = read_labeled(options.trained)
        readers += [
            (Trained(encoder, name.rpartition("/")[2], *labeled), by_encoder(encoder))
            for name, encoder in encoders.items()
        ]
    return {
        f"{reader.name}: {name}": value
        for reader, similarity in readers
        for name, value in measure_reader(reader, similarity, data).items()
    }


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", required=True, help="folder of data/ with labeled lines, split by time")
    parser.add_argument("--encoder", help="a sentence encoder by its name on the hub or its folder; none without")
    parser.add_argument("--asked", help="a causal language model by its name or folder, asked about each template")
    parser.add_argument(
        "--trained", type=Path, help="CSV with template,label (1: a fault) of other systems, to learn from"
    )
    run(parser.parse_args(), measure)
