"""The detector that the notebooks use: fit, score, save, load, for every model by its name alone."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import torch
from transformers import PreTrainedModel, set_seed
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from core.errors import BadInput
from methods.next_key import processes
from methods.next_key.batches import Chunk, batches_by_length, chunk, pad
from methods.next_key.embeddings import KEY_EMBEDDINGS, key_words, restrict_to_keys, start_keys
from methods.next_key.memory import Load, first_load, fit_in_memory, release, scoring_tokens
from methods.next_key.models import adapter, hub
from methods.next_key.models.machine import UNSLOTH, Plan, merging_plan, small_plan, whole_plan
from methods.next_key.models.tiny import TINY_MODELS, build_tiny
from methods.next_key.recipes import RECIPES, TrainingSettings
from methods.next_key.scoring import choice_log_probabilities, forward, score_sequences
from methods.next_key.training import mean_validation_loss, train
from methods.next_key.vocabulary import FIRST_CHOICE, Vocabulary

Sequences = Sequence[Sequence[str]]
disable_progress_bar()  # one bar for each saved checkpoint would drown the line an epoch
set_verbosity_error()  # its notices are about checkpoints that this package writes and reads itself


class NextKey:
    """A next-key language model. `fit`, then `score`; `save` and `load` give the same scores.

    `model` is a tiny model, a preset, a hub name or a local folder. `recipe` names the training settings in `RECIPES`
    (None: `tiny` or `lora`, by the model). `key_embeddings` says how the keys of a pretrained model begin (None:
    `template` where `templates`, the template of each key, are given, else `random`).
    """

    method = "next_key"

    def __init__(
        self,
        model: str = "tiny-llama",
        seed: int = 0,
        *,
        recipe: str | None = None,
        settings: TrainingSettings | None = None,
        templates: Mapping[str, str | None] | None = None,
        key_embeddings: str | None = None,
    ) -> None:
        self.name, self.seed = model, seed
        self.checkpoint = None if model in TINY_MODELS else hub.find_checkpoint(model)
        self.settings = settings or _recipe(recipe or ("lora" if self.checkpoint else "tiny"))
        self.templates = {key: text for key, text in (templates or {}).items() if text}
        self.key_embeddings = self._key_embeddings(key_embeddings)
        self.revision: str | None = None
        self.four_bit = False

    def _key_embeddings(self, wanted: str | None) -> str:
        if self.checkpoint is None:
            if wanted not in (None, "random"):
                raise BadInput(f"{self.name} has no rows of its own: KEY_EMBEDDINGS can only be 'random' (or None).")
            return "random"
        if wanted is None:
            return "template" if self.templates else "random"
        if wanted not in KEY_EMBEDDINGS:
            raise BadInput(f"There is no KEY_EMBEDDINGS {wanted!r}; choose one of {', '.join(KEY_EMBEDDINGS)}.")
        if wanted == "template" and not self.templates:
            raise BadInput("KEY_EMBEDDINGS = 'template' needs templates, and these keys came without; set 'random'.")
        return wanted

    def describe(self) -> dict:
        """The settings that a run keeps in its `config.json`."""
        about = asdict(self.settings) | {"key_embeddings": self.key_embeddings}
        return about | ({"checkpoint": hub.short_name(self.checkpoint)} if self.checkpoint else {})

    @cached_property
    def plan(self) -> Plan:
        """Which path this model takes on this machine, in which number format, and why."""
        if self.checkpoint is None:
            return small_plan()
        plan = hub.plan_for(self.checkpoint)
        as_trained = self.four_bit and not plan.four_bit and plan.device.startswith("cuda")
        return plan.in_four_bits("it was trained so") if as_trained else plan

    # ------------------------------------------------------------------------------------------------------ learning

    def prepare(self, train_sequences: Sequences, checkpointing: bool = False) -> dict[str, int]:
        """Make the vocabulary and the untrained model from the training split; returns the parameter counts.

        `checkpointing` recomputes activations in the backward pass, which saves memory and costs time.
        """
        self.__dict__.pop("model", None)  # room for the new one: a device may not hold both
        release()
        set_seed(self.seed)
        self.vocabulary = Vocabulary.of(train_sequences)
        if self.checkpoint is None:
            self.model = build_tiny(self.name, self.vocabulary.tokens, self.settings.context).to(self.plan.device)
        else:
            self.model = self._pretrained(checkpointing)
        return hub.count_parameters(self.model)

    def _pretrained(self, checkpointing: bool) -> PreTrainedModel:
        words = None
        if self.key_embeddings == "template":
            words = key_words(self.vocabulary, self.templates, hub.load_tokenizer(self.checkpoint))
        model = hub.load_checkpoint(self.checkpoint, self.plan, self.settings.context)
        self.revision = model.config._commit_hash
        start_keys(model, self.vocabulary, self.key_embeddings, words, self.seed)
        if self.settings.lora_rank is None:
            adapter.to_full_precision(model)
            return model
        train_rows = self.key_embeddings != "paper"
        return adapter.add_adapter(model, self.settings, self.plan, train_rows, self.seed, checkpointing)

    def fit(self, train_sequences: Sequences, validation: Sequences, checkpoints: Path) -> pl.DataFrame:
        """Learn the training split, the best epoch on `validation` kept; returns the loss of every epoch.

        An interrupted fit goes on from `checkpoints`, which may be removed once the model is saved. What does not fit
        in memory is tried again in smaller parts (memory.py). Columns as in `training.train`.
        """
        self.prepare(train_sequences)
        longest = min(self.settings.context, max(map(len, train_sequences)) + 2)
        first = first_load(self.model, self.plan, self.settings.batch_size, longest)

        def attempt(load: Load) -> list[dict]:
            if load is not first:
                if load.four_bit and not self.plan.four_bit:
                    self.plan = self.plan.in_four_bits("nothing larger fitted")
                self.prepare(train_sequences, load.checkpointing)
            data = (self.model, self.vocabulary, train_sequences, validation)
            return train(*data, self.settings, self.plan, load, self.seed, Path(checkpoints))

        return pl.DataFrame(fit_in_memory(attempt, first, lambda: self.plan), infer_schema_length=None)

    def training_view(self, sequence: Sequence[str]) -> pl.DataFrame:
        """What the model reads of one sequence and must predict: `input, target, counts`, one row a position."""
        batch = pad(chunk(0, self.vocabulary.encode(sequence), self.settings.context))
        ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
        rows = [
            {"input": self.vocabulary.name(token), "target": self.vocabulary.name(target), "counts": label == target}
            for token, target, label in zip(ids[:-1], ids[1:], labels[1:], strict=True)
        ]
        return pl.DataFrame(rows)

    @property
    def parameters(self) -> int:
        """How many weights are learned."""
        return hub.count_parameters(self.model)["trained"]

    # ------------------------------------------------------------------------------------------------------- scoring

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model of a loaded detector, read at first use: what was scored before can be judged without it."""
        if self.whole:
            return hub.load_whole(self.folder)
        if self.plan.path == UNSLOTH:
            return hub.through_unsloth(
                str(self.folder), self.plan, self.settings.context, resize_model_vocab=self.vocabulary.tokens
            )
        return adapter.load_adapter(self._restricted(self.plan), self.folder)

    def _find_base(self, checkpoint: str | None, revision: str | None) -> None:
        """What a saved detector needs of its checkpoint: nothing if it was saved whole, else it or its original."""
        self.checkpoint, self.revision = checkpoint, revision
        if checkpoint is None:
            return
        if self.whole:
            self.plan = whole_plan()
            return
        self.checkpoint = hub.find_checkpoint(checkpoint)
        if self.checkpoint != checkpoint:  # a 4-bit build where there is no GPU: its original has revisions of its own
            self.revision = None

    def _restricted(self, plan: Plan, checkpoint: str | None = None) -> PreTrainedModel:
        model = hub.load_checkpoint(
            checkpoint or self.checkpoint, plan, self.settings.context, None if checkpoint else self.revision
        )
        restrict_to_keys(model, self.vocabulary.tokens)
        return model

    def loss(self, sequences: Sequences) -> float:
        """Mean negative log-likelihood in nats a key."""
        with self.plan.arithmetic():
            return mean_validation_loss(self.model, self.vocabulary, sequences, self.settings.context)

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """One row a sequence, in order; columns as in `scoring.score_sequences`."""
        with self.plan.arithmetic():
            return score_sequences(self.model, self.vocabulary, sequences, self.settings.context)

    @torch.inference_mode()
    def likeliest(self, prefixes: Sequences, count: int = 3) -> list[list[tuple[str, float]]]:
        """The `count` likeliest choices after each prefix with their probabilities, likeliest first."""
        self.model.eval()
        cut = [self.vocabulary.encode(keys)[:-1][-self.settings.context :] for keys in prefixes]
        found: dict[int, list[tuple[str, float]]] = {}
        chunks = [Chunk(number, ids, 0, 1) for number, ids in enumerate(cut)]
        for batch in batches_by_length(chunks, lambda item: len(item.ids), scoring_tokens(self.model)):
            with self.plan.arithmetic():
                logits = forward(self.model, pad(batch))
            lasts = torch.tensor([len(item.ids) - 1 for item in batch], device=logits.device)
            best = choice_log_probabilities(logits[torch.arange(len(batch), device=logits.device), lasts]).topk(count)
            for item, values, places in zip(batch, best.values.exp().tolist(), best.indices.tolist(), strict=True):
                names = [self.vocabulary.name(place + FIRST_CHOICE) for place in places]
                found[item.sequence] = list(zip(names, values, strict=True))
        return [found[number] for number in range(len(cut))]

    @torch.inference_mode()
    def next_keys(self, prefix: Sequence[str]) -> pl.DataFrame:
        """All V + 1 choices after `prefix`, likeliest first: `key, probability`. A long prefix loses its first keys."""
        ids = self.vocabulary.encode(prefix)[:-1][-self.settings.context :]
        self.model.eval()
        with self.plan.arithmetic():
            logits = forward(self.model, pad(chunk(0, ids, self.settings.context)))[0, -1]
        probabilities = choice_log_probabilities(logits).exp().cpu().numpy()
        names = [self.vocabulary.name(token) for token in range(FIRST_CHOICE, self.vocabulary.tokens)]
        return pl.DataFrame({"key": names, "probability": probabilities}).sort("probability", descending=True)

    # ---------------------------------------------------------------------------------------------------------- disk

    def save(self, folder: Path) -> None:
        """Weights (safetensors), tokenizer and settings; written beside `folder` and renamed.

        Of a model with LoRA the adapter and the key rows are saved, and the name of the checkpoint they belong to. Of
        several processes the first one saves.
        """
        if processes.processes()[0] > 0:
            return
        beside = _beside(folder)
        if self.settings.lora_rank is None:
            self.model.save_pretrained(beside)
        else:
            adapter.save_adapter(self.model, beside, self.checkpoint)
        self._finish(beside, Path(folder), whole=self.settings.lora_rank is None)

    def merge(self, folder: Path) -> None:
        """Save as one plain fp32 model without an adapter, whose vocabulary are the keys; loads like any other.

        Merged on the CPU into the 16-bit original of a 4-bit checkpoint, whose scores then differ a little.
        """
        beside = _beside(folder)
        with TemporaryDirectory() as saved:
            adapter.save_adapter(self.model, Path(saved), self.checkpoint)
            plain = self._restricted(merging_plan(), hub.original(self.checkpoint))
            adapter.load_adapter(plain, Path(saved)).merge_and_unload().save_pretrained(beside)
        self._finish(beside, Path(folder), whole=True)

    def _finish(self, beside: Path, folder: Path, whole: bool) -> None:
        self.vocabulary.tokenizer().save_pretrained(beside)
        about = {"model": self.name, "seed": self.seed, "whole": whole, "plan": self.plan.describe()}
        about |= {"checkpoint": self.checkpoint, "revision": self.revision, "key_embeddings": self.key_embeddings}
        about |= {"settings": asdict(self.settings)}
        (beside / "next_key.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)

    @classmethod
    def load(cls, folder: Path, train_sequences: Sequences | None = None) -> "NextKey":
        """A saved detector; raises BadInput if `folder` holds none.

        With `train_sequences`, also if its vocabulary is not that of these sequences, that is of another data set.
        """
        folder = Path(folder)
        if not (folder / "next_key.json").is_file():
            raise BadInput(f"{folder} holds no trained model; run train.ipynb first.")
        about = json.loads((folder / "next_key.json").read_text(encoding="utf-8"))
        detector = cls.__new__(cls)
        detector.folder, detector.vocabulary = folder, Vocabulary.load(folder)
        detector.name, detector.seed, detector.whole = about["model"], about["seed"], about["whole"]
        detector._find_base(about["checkpoint"], about["revision"])
        detector.four_bit = about["plan"]["four_bit"]
        detector.key_embeddings, detector.templates = about["key_embeddings"], {}
        detector.settings = TrainingSettings(**about["settings"])
        if train_sequences is not None and Vocabulary.of(train_sequences).keys != detector.vocabulary.keys:
            raise BadInput(f"{folder} has the keys of another data set as its vocabulary; run train.ipynb again.")
        return detector


def _recipe(name: str) -> TrainingSettings:
    if name not in RECIPES:
        raise BadInput(f"There is no RECIPE {name!r}; choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]


def _beside(folder: Path) -> Path:
    """An empty place next to `folder`, to be renamed when it is whole."""
    beside = Path(folder).with_name(f".{Path(folder).name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    return beside
