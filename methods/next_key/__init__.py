"""The framework's method: a causal language model learns the normal next log key.

Reis, Areias and Barbosa, "Large Language Model Framework for Log Sequence Anomaly Detection" (EPIA 2025). Implemented
here: word-level keys, next-key training on normal sequences, the rank of every true key. Different on purpose: the
vocabulary comes from the training split alone, long sequences are chunked and never cut, the best epoch is kept, and
one function scores validation and test.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl
import torch
from transformers import set_seed
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from errors import BadInput
from methods.next_key.backbone import build_model, count_parameters, load_model
from methods.next_key.batches import chunk, pad
from methods.next_key.scoring import choice_log_probabilities, score_sequences
from methods.next_key.training import TrainingSettings, mean_validation_loss, train
from methods.next_key.vocabulary import FIRST_CHOICE, Vocabulary

Sequences = Sequence[Sequence[str]]
disable_progress_bar()  # one bar for each saved checkpoint would drown the line an epoch
set_verbosity_error()  # its notices are about checkpoints that this package writes and reads itself


class NextKey:
    """A next-key language model. `fit`, then `score`; `save` and `load` give the same scores."""

    def __init__(self, model: str = "tiny-llama", seed: int = 0, settings: TrainingSettings | None = None) -> None:
        self.name, self.seed = model, seed
        self.settings = settings or TrainingSettings()

    def describe(self) -> dict:
        """The settings that a run keeps in its `config.json`."""
        return asdict(self.settings)

    def prepare(self, train_sequences: Sequences) -> dict[str, int]:
        """Make the vocabulary and the untrained model from the training split; returns the parameter counts."""
        set_seed(self.seed)
        self.vocabulary = Vocabulary.of(train_sequences)
        self.model = build_model(self.name, self.vocabulary.tokens, self.settings.context)
        if torch.cuda.is_available():
            self.model.to("cuda")
        return count_parameters(self.model)

    def fit(self, train_sequences: Sequences, validation: Sequences, checkpoints: Path) -> pl.DataFrame:
        """Learn the training split, the best epoch on `validation` kept; returns the loss of every epoch.

        An interrupted fit goes on from `checkpoints`, which may be removed once the model is saved. Columns as in
        `training.train`.
        """
        self.prepare(train_sequences)
        rows = train(
            self.model, self.vocabulary, train_sequences, validation, self.settings, self.seed, Path(checkpoints)
        )
        return pl.DataFrame(rows, infer_schema_length=None)

    def training_view(self, sequence: Sequence[str]) -> pl.DataFrame:
        """What the model reads of one sequence and must predict: `input, target, counts`, one row a position."""
        batch = pad(chunk(0, self.vocabulary.encode(sequence), self.settings.context))
        ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
        rows = [
            {"input": self.vocabulary.name(token), "target": self.vocabulary.name(target), "counts": label == target}
            for token, target, label in zip(ids[:-1], ids[1:], labels[1:], strict=True)
        ]
        return pl.DataFrame(rows)

    def loss(self, sequences: Sequences) -> float:
        """Mean negative log-likelihood in nats a key."""
        return mean_validation_loss(self.model, self.vocabulary, sequences, self.settings.context)

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """One row a sequence, in order; columns as in `scoring.score_sequences`."""
        return score_sequences(self.model, self.vocabulary, sequences, self.settings.context)

    @torch.inference_mode()
    def next_keys(self, prefix: Sequence[str]) -> pl.DataFrame:
        """All V + 1 choices after `prefix`, likeliest first: `key, probability`. A long prefix loses its first keys."""
        ids = self.vocabulary.encode(prefix)[:-1][-self.settings.context :]
        tensors = pad(chunk(0, ids, self.settings.context))
        logits = self.model(input_ids=tensors["input_ids"].to(self.model.device)).logits[0, -1]
        probabilities = choice_log_probabilities(logits).exp().cpu().numpy()
        names = [self.vocabulary.name(token) for token in range(FIRST_CHOICE, self.vocabulary.tokens)]
        return pl.DataFrame({"key": names, "probability": probabilities}).sort("probability", descending=True)

    def save(self, folder: Path) -> None:
        """Weights (safetensors), tokenizer and settings; written beside `folder` and renamed."""
        folder = Path(folder)
        beside = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(beside, ignore_errors=True)
        self.model.save_pretrained(beside)
        self.vocabulary.tokenizer().save_pretrained(beside)
        about = {"model": self.name, "seed": self.seed, "settings": self.describe()}
        (beside / "next_key.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> "NextKey":
        """A saved detector; raises BadInput if `folder` holds none."""
        folder = Path(folder)
        if not (folder / "next_key.json").is_file():
            raise BadInput(f"{folder} holds no trained model; run train.ipynb first.")
        about = json.loads((folder / "next_key.json").read_text(encoding="utf-8"))
        detector = cls(about["model"], about["seed"], TrainingSettings(**about["settings"]))
        detector.vocabulary = Vocabulary.load(folder)
        detector.model = load_model(folder).to("cuda" if torch.cuda.is_available() else "cpu")
        return detector
