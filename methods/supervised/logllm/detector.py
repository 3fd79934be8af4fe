"""LogLLM as a detector of the house (contract in methods/__init__.py)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.asked import short_name
from core.data import Labeled
from core.errors import BadInput
from core.keys import Sequences, distinct
from core.schemas import Count, Schema, check, read_checked
from methods.next_key.models import hub
from methods.next_key.models.machine import TRANSFORMERS, Plan, small_plan
from methods.next_key.models.tiny import build_tiny
from methods.parts import choices, disk
from methods.parts.labels import check_both_classes, weigh_labeled
from methods.supervised.logllm.batches import Draws
from methods.supervised.logllm.messages import MessageVectors, frozen_vectors, nearest
from methods.supervised.logllm.network import LogLLMNetwork, with_lora
from methods.supervised.logllm.prompt import PromptWords, pretrained_ids, tiny_ids
from methods.supervised.logllm.recipes import Settings, choose_settings
from methods.supervised.logllm.training import Training, Validation, judge
from methods.words.encoders import TextEncoder, encoder_identity, encoder_name, text_encoder
from methods.words.sentence_encoders import SentenceEncoder, load_encoder


class SavedLogLLM(Schema):
    """logllm.json beside weights.safetensors."""

    method: str
    decoder: str
    encoder: str | None
    train_encoder: bool
    recipe: str
    seed: Count
    bases: dict[str, str]
    texts: list[str]
    known: list[str]
    settings: dict


class LogLLM:
    """A causal model that is told of each message in one position. `fit`, then `score`.

    `decoder` is a tiny model, a preset, a hub name or a local folder; `encoder` a hub name or folder, None for the
    offline vectors of words. With `train_encoder` the encoder learns, too, by LoRA. `recipe` is `house` or `paper`.
    """

    method = "logllm"
    reads, learns = "text", "labels"

    def __init__(
        self,
        decoder: str = "tiny-llama",
        encoder: str | None = None,
        seed: int = 0,
        *,
        train_encoder: bool = False,
        recipe: str = "house",
        settings: Settings | None = None,
        templates: Mapping[str, str | None] | None = None,
    ) -> None:
        """`templates` is what every detector is offered; this one gets texts for sequences."""
        if recipe not in ("house", "paper"):
            raise BadInput(f"There is no recipe {recipe!r} of LogLLM; choose house or paper.")
        if (train_encoder or recipe == "paper") and encoder is None:
            raise BadInput(
                "The offline vectors of words cannot learn and have no pooler; give LogLLM an encoder by name."
            )
        self.decoder, self.encoder, self.seed = decoder, encoder, seed
        self.recipe, self.train_encoder = recipe, train_encoder or recipe == "paper"
        self.checkpoint = choices.find_checkpoint(decoder, gpu=torch.cuda.is_available())
        self.settings = settings or choose_settings(recipe, self.checkpoint is not None, self.train_encoder)
        trained = "-trained" if train_encoder else ""
        published = "-paper" if recipe == "paper" else ""
        self.name = f"{short_name(decoder)}-{encoder_name(encoder)}{trained}{published}"

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`, with the checkpoints that they belong to."""
        return json.loads(json.dumps(asdict(self.settings))) | self._bases() | {"recipe": self.recipe}

    def _bases(self) -> dict[str, str]:
        """Return which decoder and encoder: their names and, of local folders, the hashes of their files."""
        return choices.base_of(self.checkpoint or self.decoder) | encoder_identity(self.encoder)

    @property
    def parameters(self) -> int:
        """Return how many weights learn."""
        return self.network.parameters_learned

    # ------------------------------------------------------------------------------------------------------ learning

    def fit(self, train: Labeled, validation: Labeled, checkpoints: Path) -> pl.DataFrame:
        """Do the stages; one row a look at validation: `epoch, stage, training_loss, validation_loss, seconds`, ...

        Also `average_precision` of the validation labels. Of the last stage the weights of lowest validation loss are
        kept; without an anomaly in validation, the last ones. Average precision is blind to where 0 lies, and the
        verdict is not (results/LOG.md has a measured pair).
        """
        check_both_classes(train)
        sequences, labels, counts = weigh_labeled(train)
        seen, seen_labels, weights = weigh_labeled(validation)
        texts = sorted({text for part in (sequences, seen) for texts in part for text in texts})
        _refuse_empty(sequences + seen)
        torch.manual_seed(self.seed)
        self._make(texts)
        self.known = sorted({text for texts in sequences for text in texts})
        draws = Draws(self.messages.number(sequences), labels, counts, self.settings)
        judged = Validation(self.messages.number(seen), seen_labels, weights)
        training = Training(self.network, self.messages, draws, judged, self.settings, self.seed, [])
        learned = hashlib.sha256(repr((sequences, labels.tolist(), counts.tolist(), self.describe())).encode())
        belongs_to = f"{self.method}/{self.name}, seed {self.seed}, data and settings {learned.hexdigest()[:12]}"
        return training.run(Path(checkpoints) / "stage.safetensors", belongs_to)

    def _make(self, texts: list[str]) -> None:
        """Make network and vectors for these messages; only what a stage trains learns."""
        self.messages = MessageVectors(texts, self.settings.published)
        if self.train_encoder:
            assert self.encoder is not None
            self.messages.tokenizer, model = load_encoder(self.encoder)
            own = self.settings
            self.messages.model = with_lora(model, own.encoder_rank, own.encoder_alpha, own.encoder_dropout)
            self.messages.model.eval()
            self.messages.refill()
        else:
            self.messages.fill(self._frozen(texts))
        self._network(self.messages.table.shape[1])

    def _frozen(self, known: list[str]) -> TextEncoder:
        if self.encoder is None:
            return text_encoder(None, known)
        return SentenceEncoder(self.encoder, self.settings.published)

    def _network(self, size: int) -> None:
        decoder, prompt, plan = self._decoder()
        self.network = LogLLMNetwork(decoder, prompt, size, plan)
        if self.messages.model is not None:
            self.network.encoder = self.messages.model
        assert self.network.learned

    def _decoder(self) -> tuple:
        """Return the decoder, the prompt in its tokens, and how it runs here."""
        own = self.settings
        if self.checkpoint is None:
            words = PromptWords(own.prompt)
            prompt, plan = tiny_ids(own.prompt, words), small_plan()
            model = build_tiny(self.decoder, len(words), own.max_messages + prompt.longest)
            return model.to(plan.device), prompt, plan
        prompt = pretrained_ids(own.prompt, hub.load_tokenizer(self.checkpoint))
        plan = _through_transformers(hub.plan_for(self.checkpoint))
        model = hub.load_checkpoint(self.checkpoint, plan, own.max_messages + prompt.longest)
        return with_lora(model, own.lora_rank, own.lora_alpha, own.lora_dropout, plan), prompt, plan

    # ------------------------------------------------------------------------------------------------------- scoring

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """Return one row a sequence, in order: `score` and `log_odds`, the logit of anomalous minus that of normal.

        A text that training never had is encoded like any other: `has_unseen_key` is false everywhere. Where one stands
        says `has_unseen_text`, and `nearest_text` how near the strangest is to one of training (cosine, 1 = known).
        """
        different, rows = distinct(sequences)
        _refuse_empty(different)
        self.network.eval()
        texts = sorted({text for texts in different for text in texts})
        vectors = self._vectors(texts)
        numbers = {text: number for number, text in enumerate(texts)}
        most = self.settings.max_messages if self.settings.published else None  # the rest was never read
        shown = [tuple(numbers[text] for text in one[:most]) for one in different]
        found = judge(self.network, vectors, shown, self.settings.max_messages)
        near = nearest(vectors, self._vectors(self.known)).cpu().numpy()
        trained = set(self.known)
        known = np.array([text in trained for text in texts])
        frame = pl.DataFrame(
            {
                "score": found,
                "log_odds": found,
                "has_unseen_key": False,
                "has_unseen_text": [not known[list(one)].all() for one in shown],
                "nearest_text": [float(near[list(one)].min()) for one in shown],
            }
        )
        return frame[rows]

    def _vectors(self, texts: list[str]) -> Tensor:
        """Return vectors (texts, d): from the table, and of new texts from the encoder."""
        new = [text for text in texts if text not in self.messages.numbers]
        found = {}
        if new and self.messages.model is not None:
            with torch.no_grad():
                found = dict(zip(new, self.messages.learned_vectors(new), strict=True))
        elif new:
            encoded = frozen_vectors(self._frozen(self.messages.texts), new, self.settings.published)
            found = dict(zip(new, encoded.to(self.messages.table.device), strict=True))
        table, numbers = self.messages.table, self.messages.numbers
        return torch.stack([found[text] if text in found else table[numbers[text]] for text in texts])

    # ---------------------------------------------------------------------------------------------------------- disk

    def save(self, folder: Path) -> None:
        """Write the weights that learned, the vectors and their texts, the prompt and the bases, all or nothing."""
        about = {name: getattr(self, name) for name in ("method", "decoder", "encoder", "recipe", "seed")}
        about |= {"train_encoder": self.train_encoder, "bases": self._bases(), "known": self.known}
        about |= {"texts": self.messages.texts, "settings": asdict(self.settings)}
        tensors = {name: one.cpu().contiguous() for name, one in self.network.learned_state().items()}
        with disk.replace_folder(folder) as place:
            (place / "logllm.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
            save_file(tensors | {"table": self.messages.table.cpu().contiguous()}, place / "weights.safetensors")

    @classmethod
    def load(cls, folder: Path, train: Labeled | None = None) -> "LogLLM":
        """Return a saved detector; raise BadInput if it is damaged, of other data, or if its bases are not these."""
        path = Path(folder) / "logllm.json"
        about = read_checked(path, SavedLogLLM, disk.AGAIN)
        settings = check(json.dumps(about["settings"]), Settings, path, disk.AGAIN)
        with disk.fitting(folder):
            detector = cls(
                about["decoder"],
                about["encoder"],
                about["seed"],
                train_encoder=about["train_encoder"] and about["recipe"] != "paper",
                recipe=about["recipe"],
                settings=settings,
            )
            choices.refuse_other_bases(folder, about["bases"], detector._bases())
            known = {text for texts in train.sequences for text in texts} if train else None
            if known is not None and sorted(known) != about["known"]:
                raise BadInput(f"{Path(folder).as_posix()} has the messages of another data set; {disk.AGAIN}")
            tensors = disk.load_weights(Path(folder) / "weights.safetensors", load_file)
            detector._restore(about, tensors)
        return detector

    def _restore(self, about: dict, tensors: dict[str, Tensor]) -> None:
        self.known, table = about["known"], tensors.pop("table")
        self.messages = MessageVectors(about["texts"], self.settings.published)
        if self.train_encoder:
            assert self.encoder is not None
            self.messages.tokenizer, model = load_encoder(self.encoder)
            self.messages.model = with_lora(model, self.settings.encoder_rank, self.settings.encoder_alpha, 0.0)
        self._network(table.shape[1])
        if tensors.keys() != self.network.learned or len(table) != len(self.messages.texts):
            raise ValueError("weights and settings are of different models")
        self.network.load_state_dict(tensors, strict=False)
        self.messages.table = table.to(self.network.projector.weight.device)
        self.network.eval()


def _through_transformers(plan: Plan) -> Plan:
    """Return the plan without Unsloth, whose forward passes are made for tokens; LogLLM gives vectors."""
    return replace(plan, path=TRANSFORMERS)


def _refuse_empty(sequences: Sequences) -> None:
    if any(not len(one) for one in sequences):
        raise BadInput("A sequence without any message cannot be judged; leave it out of the data folder.")
