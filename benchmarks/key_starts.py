"""KEY_EMBEDDINGS on a pretrained checkpoint as it is, and other rows that a key could begin from.

    python -m benchmarks.key_starts --data hdfs_2pct --model FOLDER --encoder FOLDER --keep FOLDER [--rates 1e-3 2e-4]

Every start learns the same SIZE normal sequences with LoRA and trained rows, in the same steps and order, in fp32, as
the arms of `benchmarks.pretraining` do; its validation loss before and after is kept in --keep, where a start that is
done is not run again. `benchmarks.key_embeddings` has the same question on a small checkpoint that read the very logs.
"""

import argparse
import random
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from benchmarks.command import kept, once, parser_of, run
from benchmarks.pretraining import LORA, sequences_of
from core.asked import short_name
from methods.next_key import NextKey, detector
from methods.next_key.embeddings import mean_rows, noise_rows, restrict_to_keys
from methods.next_key.models.hub import load_tokenizer
from methods.next_key.models.machine import TRANSFORMERS, Plan
from methods.next_key.vocabulary import Vocabulary
from methods.words.encoders import text_encoder
from utils import Data, open_data

SIZE = 200
FITTED = 4_000  # words
Rows = Callable[[Tensor, list[list[int]], Tensor], tuple[Tensor, Tensor | None]]  # of the model's own rows, the words
# of each token and noise (tokens, width): the rows of the input, and of an output apart from it, or None: tied


def means(own: Tensor, words: list[list[int]], noise: Tensor) -> tuple[Tensor, None]:
    """The means of the rows of the words."""
    return mean_rows(own, words), None


def scaled(own: Tensor, words: list[list[int]], noise: Tensor) -> tuple[Tensor, None]:
    """The means at the length that random rows have; means of several rows are shorter."""
    return at_length_of(mean_rows(own, words), noise), None


def means_in(own: Tensor, words: list[list[int]], noise: Tensor) -> tuple[Tensor, Tensor]:
    """The means in the input alone; the output begins from noise, apart from it."""
    return mean_rows(own, words), noise


def noise_apart(own: Tensor, words: list[list[int]], noise: Tensor) -> tuple[Tensor, Tensor]:
    """Noise in both, apart from each other: what `means_in` is to be compared with."""
    return noise.flip(0), noise


def at_length_of(rows: Tensor, noise: Tensor) -> Tensor:
    """Return rows at the mean length of the rows of `noise`."""
    return rows / rows.norm(dim=1, keepdim=True) * noise.norm(dim=1).mean()


def encoded(data: Data, encoder: str, vocabulary: Vocabulary, model: str | None) -> Rows:
    """Return a start from sentence vectors of the templates, brought to the width of the model by a projector.

    It is fitted to the words of the tokenizer of `model`, from the vector of each to its own row; without a model it is
    random, which keeps distances all the same.
    """
    keys = [vocabulary.name(token) for token in range(vocabulary.tokens)]
    texts = [data.templates.get(key) or key for key in keys]
    ids = word_ids(model) if model else {}
    vectors = torch.from_numpy(np.asarray(text_encoder(encoder, [*texts, *ids])([*texts, *ids]))).float()

    def rows(own: Tensor, words: list[list[int]], noise: Tensor) -> tuple[Tensor, None]:
        if ids:
            projector = ridge(vectors[len(texts) :], own[list(ids.values())].float())
        else:
            projector = torch.randn(vectors.shape[1], noise.shape[1], generator=torch.Generator().manual_seed(0))
        projected = vectors[: len(texts)] @ projector
        known = torch.tensor([key in vocabulary.keys for key in keys])[:, None]
        return torch.where(known, at_length_of(projected - projected.mean(0), noise), noise), None

    return rows


def word_ids(model: str) -> dict[str, int]:
    """Return tokens of a tokenizer that begin a word, most of them whole ones, with their ids; FITTED of them."""
    found = load_tokenizer(model).get_vocab()
    whole = {text[1:]: number for text, number in sorted(found.items()) if re.fullmatch("[Ġ▁][A-Za-z]{3,}", text)}
    return dict(random.Random(0).sample(sorted(whole.items()), min(FITTED, len(whole))))


def ridge(inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the linear map (inputs' width, targets' width) of least squares, lightly held back."""
    centered = inputs - inputs.mean(0)
    squares = centered.T @ centered
    squares += 0.01 * squares.trace() / len(squares) * torch.eye(len(squares))
    return torch.linalg.solve(squares, centered.T @ (targets - targets.mean(0)))


STARTS: dict[str, Rows | None] = {  # None: KEY_EMBEDDINGS of this name as it is, or `encoded`
    "random": None,
    "template": None,
    "means": means,
    "means, scaled": scaled,
    "means in, random out": means_in,
    "random in, random out": noise_apart,
    "encoder": None,
    "encoder, fitted projector": None,
}


def starter(rows: Rows) -> Callable:
    """Return what takes the place of `start_keys`."""

    @torch.no_grad()
    def start(model, vocabulary: Vocabulary, key_embeddings: str, words: list[list[int]], seed: int) -> None:
        own = model.get_input_embeddings().weight.detach().clone()
        inputs, outputs = rows(own, words, noise_rows(own, vocabulary.tokens, seed))
        restrict_to_keys(model, vocabulary.tokens)
        model.get_input_embeddings().weight.copy_(inputs)
        if outputs is not None:
            model.config.tie_word_embeddings = False
            model.get_output_embeddings().weight = nn.Parameter(outputs)

    return start


def measure_start(data: Data, options: argparse.Namespace, name: str, rate: float, seed: int) -> dict[str, float]:
    """Return the validation loss in nats a key before and after training, and the CPU seconds of it."""
    train, validation, _ = sequences_of(data, SIZE, seed)
    fitted_to = options.model if "fitted" in name else None
    is_encoded = name.startswith("encoder")
    rows = encoded(data, options.encoder, Vocabulary.of(train), fitted_to) if is_encoded else STARTS[name]
    wanted = name if name in ("random", "template") else "template"
    settings = replace(LORA, learning_rate=rate)
    model = NextKey(options.model, seed, settings=settings, templates=data.templates, key_embeddings=wanted)
    model.plan = Plan(TRANSFORMERS, "cpu", "float32", False, "so that starts differ by their rows alone")
    started = time.process_time()
    with (
        tempfile.TemporaryDirectory() as place,
        patch.object(detector, "start_keys", starter(rows) if rows else detector.start_keys),
    ):
        losses = model.fit(train, validation, Path(place))["validation_loss"]
    return {"loss_before": losses[0], "loss_after": losses[-1], "cpu_seconds": time.process_time() - started}


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Run the starts that are not done, and return the means over the seeds of all that are."""
    data = open_data(options.data)
    options.keep.mkdir(parents=True, exist_ok=True)
    for rate in options.rates:
        for seed in options.seeds:
            for name in options.starts:
                about = {"model": short_name(options.model), "data": options.data, "start": name}
                about |= {"encoder": short_name(options.encoder or "words")} if name.startswith("encoder") else {}
                about |= {"rate": rate, "seed": seed}
                once(options.keep, about, partial(measure_start, data, options, name, rate, seed))
    values = ["loss_before", "loss_after", "cpu_seconds"]
    by = ("model", "data", "rate", "start")
    means = kept(options.keep).group_by(by).agg(pl.len().alias("seeds"), pl.col(values).mean())
    figures = {}
    for row in means.sort(*by[:3], "loss_after").iter_rows(named=True):
        name = f"{row['model']} {row['data']} {row['rate']:g} {row['start']}:"
        figures |= {f"{name} {what}": row[what] for what in ("seeds", *values)}
    return figures


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", default="hdfs_2pct", help="folder of data/ with templates and labeled sequences")
    parser.add_argument("--model", required=True, help="a pretrained checkpoint: a folder, or a name of the hub")
    parser.add_argument("--encoder", help="a sentence encoder, for the start `encoder`; without one hashed words")
    parser.add_argument("--keep", type=Path, required=True, help="folder for the starts that are done")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    run(parser.parse_args(), measure)
