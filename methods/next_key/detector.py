"""The detector that the notebooks use: fit, score, save, load, for every model by its name alone.

TRL, Datasets and PEFT are imported where a model is trained or has an adapter: they take seconds, and judging a log
with a small model needs none of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import torch
from accelerate import PartialState
from transformers import PreTrainedModel, set_seed
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from core import schemas
from core.asked import short_name
from core.errors import BadInput
from core.keys import Sequences
from methods.next_key.batches import chunk, pad
from methods.next_key.causality import refuse_seeing_ahead
from methods.next_key.checkpoints import kept_plan
from methods.next_key.embeddings import doubtful_words, key_words, restrict_to_keys, start_keys
from methods.next_key.formats import checked_format, choose_format
from methods.next_key.memory import Load, first_load, fit_in_memory, release
from methods.next_key.models import hub
from methods.next_key.models.machine import UNSLOTH, Plan, merging_plan, move, small_plan, to_full_precision, whole_plan
from methods.next_key.models.tiny import build_tiny
from methods.next_key.scoring import likeliest, mean_validation_loss, score_sequences
from methods.next_key.vocabulary import Vocabulary
from methods.parts import choices, disk
from methods.parts.recipes import TrainingSettings
from methods.parts.threads import one_thread

disable_progress_bar()  # one bar for each saved checkpoint would drown the line an epoch
set_verbosity_error()  # its notices are about checkpoints that this package writes and reads itself


class NextKey:
    """A next-key language model. `fit`, then `score`; `save` and `load` give the same scores.

    `model` is a tiny model, a preset, a hub name or a local folder. `recipe` names the training settings in `RECIPES`
    (None: `tiny` or `lora`, by the model), `changes` what differs from them, such as `learning_rate=1e-3 max_epochs=8`;
    `settings` take the place of both. `key_embeddings` says how the keys of a pretrained model begin (None:
    `random`); `template` needs `templates`, the template of each key.
    """

    method = "next_key"
    reads, learns = "keys", "normals"
    doubt = ""  # about the tokenizer, in a sentence
    vocabulary: Vocabulary

    def __init__(
        self,
        model: str = "tiny-llama",
        seed: int = 0,
        *,
        recipe: str | None = None,
        changes: str | None = None,
        settings: TrainingSettings | None = None,
        templates: Mapping[str, str | None] | None = None,
        key_embeddings: str | None = None,
    ) -> None:
        self.name, self.seed = model, seed
        self.checkpoint = choices.find_checkpoint(model, torch.cuda.is_available())
        asked = settings or choices.choose_recipe(recipe, self.checkpoint, changes)
        self.settings = choices.without_lora(asked) if self.checkpoint is None else asked
        self.templates = {key: text for key, text in (templates or {}).items() if text}
        self.key_embeddings = choices.choose_key_embeddings(
            key_embeddings, self.checkpoint, bool(self.templates), model
        )
        self.revision: str | None = None

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        return choices.describe(self.settings, self.key_embeddings, self.checkpoint)

    @cached_property
    def plan(self) -> Plan:
        """Return which path this model takes on this machine, in which number format, and why."""
        return small_plan() if self.checkpoint is None else hub.plan_for(self.checkpoint)

    @cached_property
    def model(self) -> PreTrainedModel:
        """Return the model that `prepare` made."""
        raise BadInput(f"{self.name} is untrained: call fit first.")

    # ------------------------------------------------------------------------------------------------------ learning

    def prepare(self, train_sequences: Sequences, checkpointing: bool = False) -> dict[str, int]:
        """Make the vocabulary and the untrained model from the training split; return the parameter counts.

        `checkpointing` recomputes activations in the backward pass, which saves memory and costs time.
        """
        if "model" in vars(self):
            del self.model  # room for the new one: a device may not hold both
        release()
        set_seed(self.seed)
        self.vocabulary = Vocabulary.of(train_sequences)
        if self.checkpoint is None:
            tiny = build_tiny(self.name, self.vocabulary.tokens, self.settings.context)
            self.model = move(tiny, self.plan.device)
        else:
            self.model = self._pretrained(self.checkpoint, train_sequences, checkpointing)
        return hub.count_parameters(self.model)

    def _pretrained(self, checkpoint: str, sequences: Sequences, checkpointing: bool) -> PreTrainedModel:
        words, plan = None, self.plan  # the plan first: it tells a checkpoint that cannot be reached at all
        hub.refuse_long_context(checkpoint, self.settings.context)
        if self.key_embeddings == "template":
            tokenizer = hub.load_tokenizer(checkpoint)
            words = key_words(self.vocabulary, self.templates, tokenizer)
            self.doubt = doubtful_words(self.templates, tokenizer, short_name(self.name))
        if plan.undecided and self.settings.lora_rank is not None:  # a model trained whole is saved in fp32
            tried = self._adapted(checkpoint, words, checkpointing)
            self.plan = choose_format(tried, plan, self.vocabulary, sequences, self.settings.context)
            del tried
            release()
            set_seed(self.seed)  # LoRA begins the same whether or not this was done
        return self._adapted(checkpoint, words, checkpointing)

    def _adapted(self, checkpoint: str, words: list[list[int]] | None, checkpointing: bool) -> PreTrainedModel:
        plan = self.plan
        model = hub.load_checkpoint(checkpoint, plan, self.settings.context)
        self.revision = model.config._commit_hash
        start_keys(model, self.vocabulary, self.key_embeddings, words, self.seed)
        refuse_seeing_ahead(model, self.vocabulary.tokens, plan, self.name)
        if self.settings.lora_rank is None:
            to_full_precision(model)
            return model
        from methods.next_key.models import adapter

        train_rows = self.key_embeddings != "paper"
        return adapter.add_adapter(model, self.settings, plan, train_rows, self.seed, checkpointing)

    def fit(self, train_sequences: Sequences, validation: Sequences, checkpoints: Path) -> pl.DataFrame:
        """Learn the training split, keep the best epoch on `validation`; return the loss of every epoch.

        An interrupted fit goes on from `checkpoints`, which may be removed once the model is saved. What does not fit
        in memory is tried again in smaller parts (memory.py). Columns as in `training.train`.
        """
        from methods.next_key.training import train

        if kept := kept_plan(Path(checkpoints)):
            self.plan = self.plan.as_trained(kept)
        self.prepare(train_sequences)
        if self.doubt and PartialState().is_main_process:
            print(self.doubt, flush=True)
        longest = min(self.settings.context, max(map(len, train_sequences)) + 2)
        first = first_load(self.model, self.plan, self.settings.batch_size, longest)

        def attempt(load: Load) -> list[dict]:
            if load is not first:
                if load.four_bit and not self.plan.four_bit:
                    self.plan = self.plan.in_four_bits("nothing larger fitted")
                self.prepare(train_sequences, load.checkpointing)
            data = (self.model, self.vocabulary, train_sequences, validation)
            with one_thread(self.plan.is_faster_on_one_thread(self.settings.batch_size)):
                return train(*data, self.settings, self.plan, load, self.seed, Path(checkpoints))

        rows = fit_in_memory(attempt, first, lambda: self.plan)
        self.plan = checked_format(self.model, self.plan, self.vocabulary, validation, self.settings.context)
        return pl.DataFrame(rows, infer_schema_length=None)

    def training_view(self, sequence: Sequence[str]) -> pl.DataFrame:
        """Return what the model reads of one sequence and must predict: `input, target, counts`, one row a position."""
        batch = pad(chunk(0, self.vocabulary.encode(sequence), self.settings.context))
        ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
        rows = [
            {"input": self.vocabulary.name(token), "target": self.vocabulary.name(target), "counts": label == target}
            for token, target, label in zip(ids[:-1], ids[1:], labels[1:], strict=True)
        ]
        return pl.DataFrame(rows)

    @property
    def parameters(self) -> int:
        """Return how many weights are learned."""
        return hub.count_parameters(self.model)["trained"]

    # ------------------------------------------------------------------------------------------------------- scoring

    def loss(self, sequences: Sequences) -> float:
        """Return the mean negative log-likelihood in nats a key."""
        with self.plan.arithmetic():
            return mean_validation_loss(self.model, self.vocabulary, sequences, self.settings.context)

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """Score each sequence, one row in order; columns as in `scoring.score_sequences`."""
        with self.plan.arithmetic():
            return score_sequences(self.model, self.vocabulary, sequences, self.settings.context)

    def likeliest(self, prefixes: Sequences, count: int = 3) -> list[list[tuple[str, float]]]:
        """Return the `count` likeliest choices after each prefix with their probabilities, likeliest first."""
        with self.plan.arithmetic():
            return likeliest(self.model, self.vocabulary, prefixes, count, self.settings.context)

    def next_keys(self, prefix: Sequence[str]) -> pl.DataFrame:
        """Return all V + 1 choices after `prefix`, likeliest first: `key, probability`.

        A prefix longer than the context loses its first keys.
        """
        (choices,) = self.likeliest([prefix], len(self.vocabulary) + 1)
        return pl.DataFrame(choices, schema={"key": pl.String, "probability": pl.Float32}, orient="row")

    # ---------------------------------------------------------------------------------------------------------- disk

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), tokenizer and settings, whole or not at all.

        Of a model with LoRA the adapter and the key rows are saved, and the name of the checkpoint they belong to. Of
        several processes the first one saves.
        """
        if not PartialState().is_main_process:
            return
        whole = self.settings.lora_rank is None
        with disk.replace_folder(folder) as place:
            if whole:
                self.model.save_pretrained(place)
            else:
                from methods.next_key.models import adapter

                adapter.save_adapter(self.model, place, self.checkpoint)
            self._save_about(place, whole)

    def merge(self, folder: Path) -> None:
        """Save as one plain fp32 model without an adapter, whose vocabulary are the keys; it loads like any other.

        Merged on the CPU into the 16-bit original of a 4-bit checkpoint, whose scores then differ a little.
        """
        if self.checkpoint is None:
            raise BadInput(f"{self.name} is trained whole and has no adapter to merge; save it.")
        from methods.next_key.models import adapter

        with TemporaryDirectory() as saved, disk.replace_folder(folder) as place:
            adapter.save_adapter(self.model, Path(saved), self.checkpoint)
            plain = load_restricted(choices.original(self.checkpoint), merging_plan(), self)
            adapter.merge_adapter(adapter.load_adapter(plain, Path(saved))).save_pretrained(place)
            self._save_about(place, whole=True)

    def _save_about(self, place: Path, whole: bool) -> None:
        self.vocabulary.tokenizer().save_pretrained(place)
        about = {"model": self.name, "seed": self.seed, "whole": whole, "plan": self.plan.describe()}
        about |= {"checkpoint": self.checkpoint, "revision": self.revision, "key_embeddings": self.key_embeddings}
        about |= {"settings": asdict(self.settings)}
        (place / "next_key.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path, train_sequences: Sequences | None = None) -> "SavedNextKey":
        """Return a saved detector; raise BadInput if `folder` holds none.

        With `train_sequences`, also if its vocabulary is not that of these sequences, that is of another data set.
        """
        detector = SavedNextKey(Path(folder))
        if train_sequences is not None and Vocabulary.of(train_sequences).keys != detector.vocabulary.keys:
            raise BadInput(
                f"{Path(folder).as_posix()} has the keys of another data set as its vocabulary; run train.ipynb again."
            )
        return detector


class SavedNextKey(NextKey):
    """A trained detector as `folder` has it; its model is read at first use, so scores on disk need none."""

    def __init__(self, folder: Path) -> None:
        path = folder / "next_key.json"
        if not path.is_file():
            raise BadInput(f"{folder.as_posix()} holds no trained model; run train.ipynb first.")
        about = schemas.read_checked(path, schemas.SavedNextKey, disk.AGAIN)
        with disk.fitting(folder):
            self.folder, self.vocabulary = folder, Vocabulary.load(folder)
        self.name, self.seed, self.whole = about["model"], about["seed"], about["whole"]
        self.key_embeddings, self.templates = about["key_embeddings"], {}
        self.settings, self.trained = disk.settings_of(about, TrainingSettings, path), about["plan"]
        self.checkpoint, self.revision = about["checkpoint"], about["revision"]
        if self.checkpoint and not self.whole:
            self.checkpoint = choices.find_checkpoint(self.checkpoint, torch.cuda.is_available())
            if self.checkpoint != about["checkpoint"]:  # a 4-bit build where there is no GPU: its original has
                self.revision = None  # revisions of its own

    @cached_property
    def plan(self) -> Plan:
        """Return how the model runs here: in the format it was trained in, or in fp32 if it was saved whole."""
        if self.checkpoint and self.whole:
            return whole_plan()
        plan = super().plan.as_trained(self.trained)
        in_four_bits = self.trained["four_bit"] and not plan.four_bit and plan.device.startswith("cuda")
        return plan.in_four_bits("it was trained so") if in_four_bits else plan

    @cached_property
    def model(self) -> PreTrainedModel:
        """Return the model, read from disk."""
        if self.whole or self.checkpoint is None:
            with disk.fitting(self.folder):
                return hub.load_whole(self.folder)
        if self.plan.path == UNSLOTH:
            return hub.through_unsloth(
                str(self.folder), self.plan, self.settings.context, resize_model_vocab=self.vocabulary.tokens
            )
        from methods.next_key.models import adapter

        restricted = load_restricted(self.checkpoint, self.plan, self)
        with disk.fitting(self.folder):
            return adapter.load_adapter(restricted, self.folder)


def load_restricted(checkpoint: str, plan: Plan, detector: NextKey) -> PreTrainedModel:
    """Return the untrained model of `checkpoint`, in the revision that `detector` began from, cut down to its keys."""
    revision = detector.revision if checkpoint == detector.checkpoint else None
    model = hub.load_checkpoint(checkpoint, plan, detector.settings.context, revision)
    restrict_to_keys(model, detector.vocabulary.tokens)
    return model
