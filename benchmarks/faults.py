"""Templates that come new in the test: how well do words tell the alerts among them, and where to put the threshold.

    python -m benchmarks.faults --data bgl_time [--encoder NAME] [--asked NAME]

The data folder has labeled lines and templates with words, such as one made by `parse_logs.py bgl --protocol
chronological`. Labels measure here and choose nothing. A reader of methods/words/faults.py gives each template one
number; a sequence has the highest of its new templates, and one without any comes last. Three thresholds need no label:

- `zero`: the reader's own middle;
- `known`: a stated share of the known templates reads less like a fault, each counted once;
- `late`: the same of known templates that training saw first in its last half, which came new as those of the test do.
"""

import argparse

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.command import parser_of, run
from core.data import Data, open_data
from core.errors import BadInput
from methods.words.encoders import encoder_name, text_encoder
from methods.words.faults import Anchors, Asked, FaultWords

SHARES = (0.5, 0.6, 0.7, 0.8)  # of known templates below the threshold


def alerts(test: pl.DataFrame, known: set[str]) -> dict[str, bool]:
    """Return for each key that comes new in the test whether most of its lines are labeled anomalous."""
    events = test.select(pl.col("keys", "event_labels")).explode("keys", "event_labels")
    new = events.filter(~pl.col("keys").is_in(sorted(known))).group_by("keys").agg(pl.col("event_labels").mean())
    return {key: share > 0.5 for key, share in new.sort("keys").iter_rows() if share is not None}


def highest(sequences: list[list[str]], scores: dict[str, float]) -> np.ndarray:
    """Return the highest score of a new key in each sequence, (n,); below all others where there is none."""
    least = min(scores.values(), default=0.0) - 1.0
    return np.array([max((scores[key] for key in set(keys) & scores.keys()), default=least) for keys in sequences])


def late_keys(training: list[list[str]]) -> set[str]:
    """Return the keys that occur first in the last half of the training sequences."""
    return {key for keys in training[len(training) // 2 :] for key in keys} - {
        key for keys in training[: len(training) // 2] for key in keys
    }


def f1(flags: np.ndarray, labels: np.ndarray) -> float:
    """Return F1 of the flags; 0 without a hit."""
    return float(2 * (flags & (labels == 1)).sum() / max(1, flags.sum() + (labels == 1).sum()))


def measure_reader(read, data: Data) -> dict[str, float]:
    """Return the figures of one reader by name."""
    test, known = data.split("test"), data.known_keys
    labels, words = test["label"].to_numpy(), {key: text or "" for key, text in data.templates.items()}
    new = alerts(test, known)
    if len(set(new.values())) < 2:
        raise BadInput(f"The templates that come new in the test of data/{data.name} are not of both kinds.")
    scores = dict(zip(new, read([words.get(key, "") for key in new]), strict=True))
    old = sorted(known)
    of_old = dict(zip(old, read([words[key] for key in old]), strict=True))
    sequences = test["keys"].to_list()
    order = highest(sequences, scores)
    found = {
        "new templates": len(new),
        "alerts among them": sum(new.values()),
        "AUROC of new templates": roc_auc_score(list(new.values()), list(scores.values())),
        "average precision of sequences": average_precision_score(labels, order),
        "F1, every new template an alarm": f1(order >= min(scores.values()), labels),
        "F1, zero": f1(order > 0, labels),
    }
    late = [of_old[key] for key in late_keys(data.keys("train"))]
    for share in SHARES:
        for name, values in (("known", list(of_old.values())), ("late", late)):
            threshold = np.quantile(values, share) if values else np.inf
            found[f"F1, {name} {share}"] = f1(order > threshold, labels)
            found[f"asked, {name} {share}"] = sum(score > threshold for score in scores.values())
    return found


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Return the figures of each reader."""
    data = open_data(options.data)
    texts = [text for key, text in data.templates.items() if text and key in data.known_keys]
    names = [None, options.encoder] if options.encoder else [None]
    readers = [FaultWords(), *(Anchors(text_encoder(name, texts), encoder_name(name)) for name in names)]
    readers += [Asked(options.asked)] if options.asked else []
    return {f"{read.name}: {name}": value for read in readers for name, value in measure_reader(read, data).items()}


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", required=True, help="folder of data/ with labeled lines, split by time")
    parser.add_argument("--encoder", help="a sentence encoder by its name on the hub or its folder; none without")
    parser.add_argument("--asked", help="a causal language model by its name or folder, asked about each template")
    run(parser.parse_args(), measure)
