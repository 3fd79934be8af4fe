"""A next-key model whose keys are vectors of words, so that a template it never saw can be expected: one experiment.

    python -m benchmarks.open_vocabulary --data bgl_time [--encoder NAME]

What would count as success was written down before it was run (results/LOG.md): among windows of BGL in time order, the
order by how little this model expects their new templates must have a higher average precision than the order by
escape and fault words, by more than the 95% interval of the difference.

A GRU reads the vectors of the last keys, made once by an encoder, and says where among such vectors the next one lies;
the logit of a template is its cosine with that, so one that training never had gets one, too. A new template is judged
among all templates that training had and itself. The end of a window is none: windows are cut anywhere.
"""

import argparse

import numpy as np
import polars as pl
import torch
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from benchmarks.command import parser_of, run
from core.data import Data, open_data
from evaluation import floors
from methods.parts.semantics import encode
from methods.words.encoders import text_encoder
from methods.words.faults import FaultWords

SIZE, EPOCHS, BATCH, RATE, SHARPNESS = 128, 6, 16, 2e-3, 20.0
RESAMPLES = 2_000
SEEDS = (0, 1, 2)


class OpenVocabulary(nn.Module):
    """Vectors (batch, time, d) to logits (batch, time, templates) of the next template, by its vector."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.begin = nn.Parameter(torch.zeros(vectors.shape[1]))
        self.inside, self.outside = nn.Linear(vectors.shape[1], SIZE), nn.Linear(SIZE, vectors.shape[1])
        self.reader = nn.GRU(SIZE, SIZE, batch_first=True)
        self.dropout = nn.Dropout(0.1)

    def forward(self, seen: Tensor, templates: Tensor) -> Tensor:
        """Return the logits at each place of `seen` (batch, time, d), before it is read; `templates` (n, d)."""
        first = self.begin.expand(len(seen), 1, -1)
        states, _ = self.reader(self.dropout(self.inside(torch.cat([first, seen[:, :-1]], 1))))
        return SHARPNESS * nn.functional.normalize(self.outside(states), dim=-1) @ templates.T


def vectors_of(data: Data, encoder: str | None) -> tuple[list[str], Tensor]:
    """Return all keys, those of training first, and the unit vectors (keys, d) of their templates."""
    known = sorted(data.known_keys)
    keys = known + sorted({key for part in data.sequences["keys"] for key in part} - set(known))
    texts = [data.templates[key] or "" for key in keys]
    found = torch.tensor(encode(text_encoder(encoder, texts[: len(known)]), texts))
    return keys, nn.functional.normalize(found, dim=-1)


def train(windows: np.ndarray, vectors: Tensor, known: int, seed: int) -> OpenVocabulary:
    """Return a model of windows of known keys, (windows, time) numbers."""
    torch.manual_seed(seed)
    model, templates = OpenVocabulary(vectors), vectors[:known]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    targets = torch.tensor(windows)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(targets)).split(BATCH):
            loss = nn.functional.cross_entropy(
                model(vectors[targets[rows]], templates).flatten(0, 1), targets[rows].flatten()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@torch.inference_mode()
def surprises(model: OpenVocabulary, windows: list[np.ndarray], vectors: Tensor, known: int) -> np.ndarray:
    """Return how little the least expected new template of each window was expected, in nats; -1 without one."""
    found = np.full(len(windows), -1.0)
    for row, window in enumerate(windows):
        new = np.flatnonzero(window >= known)
        if not len(new):
            continue
        logits = model(vectors[torch.tensor(window)][None], vectors)[0]  # (time, all templates)
        places = torch.tensor(new)
        own = logits[places, torch.tensor(window[new])]
        others = torch.logsumexp(logits[places, :known], 1)
        found[row] = float((torch.logaddexp(others, own) - own).max())
    return found


def gain_interval(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Return the difference of two orders' average precision, and the ends of its 95% interval over windows. Seeded."""
    chance, draws = np.random.default_rng(0), []
    for _ in range(RESAMPLES // 10):  # each takes two sorts of all windows
        rows = chance.integers(len(labels), size=len(labels))
        draws.append(difference(first[rows], second[rows], labels[rows]))
    low, high = np.quantile(draws, [0.025, 0.975])
    return difference(first, second, labels), float(low), float(high)


def difference(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float:
    """Return average precision of the first order minus that of the second."""
    return float(average_precision_score(labels, first) - average_precision_score(labels, second))


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Return the average precision of each order, and how far the model is ahead of escape and fault words."""
    data = open_data(options.data)
    test, labels = data.split("test"), data.split("test")["label"].to_numpy()
    keys, vectors = vectors_of(data, options.encoder)
    numbers, known = {key: number for number, key in enumerate(keys)}, len(data.known_keys)
    size = int(data.split("train")["keys"].list.len().mode()[0])
    full = data.split("train").filter(pl.col("keys").list.len() == size)["keys"]
    training = np.array([[numbers[key] for key in window] for window in full.to_list()])
    windows = [np.array([numbers[key] for key in window]) for window in test["keys"].to_list()]
    _, escape = floors.escape_flags(floors.ngram_scores(data, "test")["bigram"])
    words = FaultWords()([data.templates[key] or "" for key in keys])
    listed = np.array([max((words[key] for key in window if key >= known), default=-1.0) for window in windows])
    floor = rankdata(listed) + rankdata(escape)
    found = {
        "escape": average_precision_score(labels, escape),
        "fault words": average_precision_score(labels, listed),
        "escape and fault words": average_precision_score(labels, floor),
    }
    for seed in SEEDS:
        own = surprises(train(training, vectors, known, seed), windows, vectors, known)
        both = rankdata(listed) + rankdata(own)
        found[f"open vocabulary, seed {seed}"] = average_precision_score(labels, own)
        found[f"open vocabulary and fault words, seed {seed}"] = average_precision_score(labels, both)
        for name, order in (("open vocabulary", own), ("open vocabulary and fault words", both)):
            gain = gain_interval(order, floor, labels)
            found |= {
                f"{name} minus floor, seed {seed}{end}": value
                for end, value in zip(("", ", low", ", high"), gain, strict=True)
            }
    return found


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", required=True, help="folder of data/ in windows with words, split by time")
    parser.add_argument("--encoder", help="a sentence encoder by its name on the hub or its folder; none without")
    run(parser.parse_args(), measure)
