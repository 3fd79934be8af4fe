"""Classifiers of texts: a pretrained one by its name, or a tiny one from a config; tokens, padding, logits."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils.logging import disable_progress_bar

from core.errors import BadInput
from methods.parts.learning import DEVICE
from methods.parts.loading import FAULTS, LOADING, add_padding, loading_fault

disable_progress_bar()  # of a model saved and loaded in a second

_WIDE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
_DECODER = _WIDE | {"num_key_value_heads": 4}
_HEADED = _DECODER | {"head_dim": 16}
TINY: dict[str, tuple[str, dict[str, Any]]] = {  # family as AutoConfig names it, and its sizes
    "tiny-bert": ("bert", _WIDE),
    "tiny-roberta": ("roberta", _WIDE),
    "tiny-albert": ("albert", _WIDE | {"embedding_size": 64}),
    "tiny-distilbert": ("distilbert", {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 256}),
    "tiny-xlnet": ("xlnet", {"d_model": 64, "n_layer": 2, "n_head": 4, "d_inner": 256}),
    "tiny-llama": ("llama", _DECODER),
    "tiny-gemma3": ("gemma3_text", _HEADED | {"query_pre_attn_scalar": 16}),
    "tiny-qwen2": ("qwen2", _DECODER),
    "tiny-qwen3": ("qwen3", _HEADED),
    "tiny-gpt2": ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4}),
}
PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
# Words, marks, and numbers in pieces of two digits, so that a number that training never had is made of known ones.
_PIECES = Regex(r"\d{1,2}|[^\W\d_]+|[^\w\s]|_")
_NUMBERS = [*(str(number) for number in range(10)), *(f"{number:02}" for number in range(100))]


def tiny_tokenizer(texts: Sequence[str], longest: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose words are those of the training texts, and all numbers of one and two digits."""
    splitting = Split(_PIECES, "removed", invert=True)
    words = sorted({word for text in texts for word, _ in splitting.pre_tokenize_str(text)} - set(_NUMBERS))
    vocabulary = {word: number for number, word in enumerate([PAD, UNKNOWN, BEGIN, END, *_NUMBERS, *words])}
    model = Tokenizer(WordLevel(vocabulary, UNKNOWN))
    model.pre_tokenizer = splitting
    ends = [(BEGIN, vocabulary[BEGIN]), (END, vocabulary[END])]
    model.post_processor = TemplateProcessing(single=f"{BEGIN} $A {END}", special_tokens=ends)
    names = {"pad_token": PAD, "unk_token": UNKNOWN, "cls_token": BEGIN, "sep_token": END}
    return PreTrainedTokenizerFast(tokenizer_object=model, model_max_length=longest, **names)


def build_tiny(name: str, tokenizer: PreTrainedTokenizerBase, longest: int) -> PreTrainedModel:
    """Return an untrained classifier of a family for the words of a tokenizer."""
    family, sizes = TINY[name]
    places = longest + 2  # RoBERTa counts positions from the number of its padding, plus one
    positions = {"xlnet": {}, "gpt2": {"n_positions": longest}}.get(family, {"max_position_embeddings": places})
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": None}
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), num_labels=2, **sizes, **positions, **ids)
    return AutoModelForSequenceClassification.from_config(config, **LOADING)


def load_pretrained(checkpoint: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a checkpoint with a new head of two classes, and its tokenizer; raise BadInput if it cannot be loaded."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, **LOADING)
        model = AutoModelForSequenceClassification.from_pretrained(
            checkpoint, num_labels=2, use_safetensors=True, dtype=torch.float32, ignore_mismatched_sizes=True, **LOADING
        )
    except FAULTS as error:
        raise loading_fault(error, checkpoint) from error
    add_padding(tokenizer, checkpoint)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def add_lora(model: PreTrainedModel, rank: int, alpha: int, dropout: float) -> PreTrainedModel:
    """Return the model with LoRA on every projection; its head is trained whole."""
    options = LoraConfig(
        task_type="SEQ_CLS", r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear"
    )
    wrapped = get_peft_model(model, options)
    wrapped.peft_config["default"].base_model_name_or_path = ""
    return cast("PreTrainedModel", wrapped)


def load_lora(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Return a saved adapter around its base."""
    return cast("PreTrainedModel", PeftModel.from_pretrained(model, str(folder)))


class TextClassifier(nn.Module):
    """A model with a head of two classes, and how it reads texts."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        config = model.config.get_text_config()
        forward = inspect.signature(getattr(model, "get_base_model", lambda: model)().forward).parameters
        self.is_causal = "use_cache" in forward and "position_ids" in forward
        # XLNet's head reads the last place, that of an encoder the first, a causal model's the last that is no padding.
        self.side = "left" if config.model_type == "xlnet" else "right"
        most = [getattr(config, name, None) for name in ("max_position_embeddings", "n_positions")]
        self.longest = min([size for size in (*most, tokenizer.model_max_length) if size and size > 0])

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of texts; raise BadInput for one that is longer than the model reads."""
        found = [list(ids) for ids in self.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]]
        longest = max(range(len(found)), key=lambda row: len(found[row])) if found else 0
        if found and len(found[longest]) > self.longest:
            raise BadInput(
                f"A text of {len(found[longest]):,} tokens is longer than the {self.longest:,} that this model reads, "
                f"and nothing is cut off ({texts[longest][:60]!r}...); choose a model with a longer "
                "context, or shorter sequences."
            )
        if any(not ids for ids in found):
            raise BadInput("A text without any token cannot be judged; leave its sequence out of the data folder.")
        return found

    def forward(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return log-odds (rows,), the logit of anomalous minus that of normal, of token ids."""
        longest, device = max(map(len, rows)), self.model.device
        before = [longest - len(row) if self.side == "left" else 0 for row in rows]
        padding = self.tokenizer.pad_token_id
        ids = torch.stack(
            [
                pad(torch.tensor(row), (lead, longest - len(row) - lead), value=padding)
                for row, lead in zip(rows, before, strict=True)
            ]
        ).to(device)
        lengths, leads = (torch.tensor(part, device=device)[:, None] for part in ([*map(len, rows)], before))
        places = torch.arange(longest, device=device)[None] - leads  # (rows, L), from each row's own begin
        mask = ((places >= 0) & (places < lengths)).long()
        own = {"position_ids": places.clamp(min=0), "use_cache": False} if self.is_causal else {}
        logits = self.model(input_ids=ids, attention_mask=mask, **own).logits.float()
        return logits[:, 1] - logits[:, 0]


def on_device(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> TextClassifier:
    """Return the classifier where it runs."""
    return TextClassifier(model, tokenizer).to(DEVICE)
