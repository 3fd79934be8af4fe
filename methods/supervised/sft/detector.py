"""Supervised fine-tuning as a detector of the house (contract in methods/__init__.py)."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from core.asked import short_name
from core.data import Labeled
from core.errors import BadInput
from core.keys import Sequences, distinct
from core.progress import progress
from core.schemas import Count, Schema, check, read_checked
from methods.parts import choices, disk
from methods.parts.classifiers import in_batches
from methods.parts.labels import check_both_classes, judged, weigh_labeled
from methods.parts.learning import DEVICE, draw, learn
from methods.parts.loading import LOADING
from methods.supervised.sft.models import (
    TINY,
    TextClassifier,
    add_lora,
    build_tiny,
    load_lora,
    load_pretrained,
    on_device,
    tiny_tokenizer,
)
from methods.supervised.sft.recipes import Settings, choose_settings

TOKENS_AT_ONCE = 16_384  # of a batch that is judged, with padding; bounds memory
BETWEEN = " ; "  # the templates of a log sequence


class SavedSFT(Schema):
    """sft.json beside the model."""

    method: str
    model: str
    recipe: str
    lora: bool
    seed: Count
    bases: dict[str, str]
    known: str
    settings: dict


class SFT:
    """A text classifier. `fit`, then `score`; `save` and `load` give the same scores.

    `model` is one of `TINY`, a hub name or a folder; with `lora` only adapters and the head learn. `recipe` is `house`
    or `published`.
    """

    method = "sft"
    reads, learns = "text", "labels"
    _saved_bases: dict[str, str] | None = None

    def __init__(
        self,
        model: str = "tiny-bert",
        seed: int = 0,
        *,
        lora: bool = False,
        recipe: str = "house",
        settings: Settings | None = None,
        templates: Mapping[str, str | None] | None = None,
    ) -> None:
        """`templates` is what every detector is offered; this one gets texts for sequences."""
        if recipe not in ("house", "published"):
            raise BadInput(f"There is no recipe {recipe!r} of fine-tuning; choose house or published.")
        if lora and model in TINY:
            raise BadInput(f"{model} is made from a config, and LoRA on random weights learns nothing; leave out lora.")
        self.model, self.seed, self.lora, self.recipe = model, seed, lora, recipe
        if model.startswith("tiny-") and model not in TINY:
            raise BadInput(f"There is no text classifier {model!r}; choose {', '.join(TINY)}, or a name or folder.")
        self.checkpoint = None if model in TINY else choices.find_checkpoint(model, gpu=False)
        self.settings = settings or choose_settings(recipe, self.checkpoint is not None, lora)
        if lora and self.settings.lora_rank is None:
            raise BadInput("LoRA needs a rank; give settings with lora_rank, or leave them out.")
        self.name = self._named(model)

    def _named(self, model: str) -> str:
        adapted, published = "-lora" if self.lora else "", "-published" if self.recipe == "published" else ""
        return f"{short_name(model)}{adapted}{published}"

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`, with the checkpoint that they belong to."""
        return asdict(self.settings) | self._bases() | {"recipe": self.recipe}

    def _bases(self) -> dict[str, str]:
        if self._saved_bases is not None:  # of a model saved whole, which needs its base no more
            return self._saved_bases
        return choices.base_of(self.checkpoint or self.model)

    @property
    def parameters(self) -> int:
        """Return how many weights learn."""
        return sum(weights.numel() for weights in self.network.parameters() if weights.requires_grad)

    # ------------------------------------------------------------------------------------------------------ learning

    def fit(self, train: Labeled, validation: Labeled, checkpoints: Path) -> pl.DataFrame:
        """Learn training; a frame as `learning.learn` gives. Losses are cross entropies, nats a text.

        Each distinct pair of text and label counts as often as it occurs. The epoch of lowest validation loss is kept,
        but by the recipe `published` the last.
        """
        check_both_classes(train)
        torch.manual_seed(self.seed)
        texts, labels, weights = weigh_labeled(_joined(train))
        seen, true, seen_weights = weigh_labeled(_joined(validation))
        self.known = _identity(text for (text,) in texts)
        self.network = self._make([text for (text,) in texts])
        rows, checked = (self.network.tokens([text for (text,) in part]) for part in (texts, seen))
        targets = torch.from_numpy(labels).float().to(DEVICE)
        signs = torch.from_numpy(1.0 - 2.0 * true)

        def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
            chosen, counts = batch
            log_odds = self.network([rows[row] for row in chosen.tolist()])
            each = binary_cross_entropy_with_logits(log_odds, targets[chosen], reduction="none")
            return (each * counts.to(each.device)).sum() / len(chosen)

        def validate() -> float:
            losses = softplus(torch.from_numpy(self._judge(checked)) * signs).numpy()
            return float(np.average(losses, weights=seen_weights))

        return learn(
            self.network,
            lambda: self._batches(torch.from_numpy(weights).float()),
            loss,
            validate,
            learning_rate=self.settings.learning_rate,
            max_epochs=self.settings.max_epochs,
            patience=self.settings.patience,
            seed=self.seed,
            checkpoints=checkpoints,
            belongs_to=f"{self.method}/{self.name} on {len(rows)} texts, {self.known}",
            keep_last=self.settings.keep_last,
        )

    def _batches(self, weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Return rows and what each counts: as published every copy once, in the house drawn by the root of copies."""
        if not self.settings.keep_last:
            return draw(weights, self.settings.batch_size)
        copies = torch.repeat_interleave(torch.arange(len(weights)), weights.long())
        parts = copies[torch.randperm(len(copies))].split(self.settings.batch_size)
        return ((part, torch.ones(len(part))) for part in parts)

    def _make(self, texts: list[str]) -> TextClassifier:
        if self.checkpoint is None:
            tokenizer = tiny_tokenizer(texts, self.settings.longest)
            return on_device(build_tiny(self.model, tokenizer, self.settings.longest), tokenizer)
        model, tokenizer = load_pretrained(self.checkpoint)
        own = self.settings
        if self.lora:
            assert own.lora_rank is not None
            model = add_lora(model, own.lora_rank, own.lora_alpha, own.lora_dropout)
        return on_device(model, tokenizer)

    # ------------------------------------------------------------------------------------------------------- scoring

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """Return `score` and `log_odds`, the logit of anomalous minus that of normal, one row a sequence, in order."""
        self.network.eval()
        texts, rows = distinct(_joined(Labeled(cast("list", sequences), np.zeros(0))).sequences)
        return judged(self._judge(self.network.tokens([text for (text,) in texts]))[rows], self.reads)

    @torch.no_grad()
    def _judge(self, rows: list[list[int]]) -> np.ndarray:
        found = np.empty(len(rows), np.float64)
        batches = list(in_batches(rows, TOKENS_AT_ONCE))
        for part in progress(batches, len(batches), "judging", "batches"):
            found[part] = self.network([rows[row] for row in part]).cpu().numpy()
        return found

    # ---------------------------------------------------------------------------------------------------------- disk

    def save(self, folder: Path) -> None:
        """Write the model, or its adapter and head, with its tokenizer and the settings, all or nothing."""
        about = {name: getattr(self, name) for name in ("method", "model", "recipe", "lora", "seed", "known")}
        about |= {"bases": self._bases(), "settings": asdict(self.settings)}
        about["model"] = self.model if self.lora else short_name(self.model)  # where an adapter finds its base
        with disk.replace_folder(folder) as place:
            (place / "sft.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
            self.network.tokenizer.save_pretrained(place)
            self.network.model.save_pretrained(place, **({"save_embedding_layers": False} if self.lora else {}))

    @classmethod
    def load(cls, folder: Path, train: Labeled | None = None) -> "SFT":
        """Return a saved detector; raise BadInput if it is damaged, of other data, or an adapter of another base."""
        about = read_checked(Path(folder) / "sft.json", SavedSFT, disk.AGAIN)
        settings = check(json.dumps(about["settings"]), Settings, Path(folder) / "sft.json", disk.AGAIN)
        with disk.fitting(folder):
            # A model saved whole stands for itself: the checkpoint that it began as may be gone.
            base = about["model"] if about["lora"] or about["model"] in TINY else str(folder)
            detector = cls(base, about["seed"], lora=about["lora"], recipe=about["recipe"], settings=settings)
            if about["lora"]:
                choices.refuse_other_bases(folder, about["bases"], detector._bases())
            else:
                detector.model, detector._saved_bases = about["model"], about["bases"]
                detector.name = detector._named(about["model"])
            detector.known = about["known"]
            if train is not None and detector.known != _identity(text for (text,) in _joined(train).sequences):
                raise BadInput(f"{Path(folder).as_posix()} has the texts of another data set; {disk.AGAIN}")
            detector.network = detector._loaded(Path(folder))
            detector.network.eval()
        return detector

    def _loaded(self, folder: Path) -> TextClassifier:
        # Of a tiny model by its own class: the one that goes with the family would split words in another way.
        kind = PreTrainedTokenizerFast if self.model in TINY else AutoTokenizer
        tokenizer = kind.from_pretrained(folder, local_files_only=True, **LOADING)
        if self.lora:
            assert self.checkpoint is not None
            return on_device(load_lora(load_pretrained(self.checkpoint)[0], folder), tokenizer)
        options = LOADING | {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
        model, found = AutoModelForSequenceClassification.from_pretrained(folder, **options)
        if found["missing_keys"]:  # they would be noise
            raise ValueError(f"the weights lack {sorted(found['missing_keys'])[0]}")
        return on_device(model, tokenizer)


def _joined(part: Labeled) -> Labeled:
    """Return each sequence of texts as one text; that of a single one stays as it is, to the last blank."""
    return part._replace(sequences=[[BETWEEN.join(texts)] for texts in part.sequences])


def _identity(texts: Iterable[str]) -> str:
    """Return what tells the texts of one training from those of another."""
    return hashlib.sha256("\n".join(sorted(set(texts))).encode()).hexdigest()[:16]
