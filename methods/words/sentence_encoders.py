"""A vector for the words of a template by a pretrained encoder, or a causal model, of any name.

Each distinct text is encoded once. Wildcards are removed, inner capitals split and all is lower case: that is what a
sentence encoder was trained on. Mean pooling, as sentence encoders use it (Reimers and Gurevych 2019,
arXiv 1908.10084); the pooler of a BERT is a layer that they never trained. Of a causal model, whose last layers are
about the next token, the states of an earlier layer are taken, without its begin, which outweighs all words.
"""

import re
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from core.errors import BadInput
from methods.parts.learning import DEVICE
from methods.parts.loading import FAULTS, LOADING, add_padding, loading_fault
from methods.parts.semantics import INNER_CAPITAL
from methods.words.encoders import encoder_identity, encoder_name

if TYPE_CHECKING:  # its import takes seconds
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LONGEST = 100  # word pieces of a message, as published with LogLLM
ENCODED_AT_ONCE = 256
CAUSAL_LAYER = -4  # of a causal model, counted from the end
_WILDCARD = re.compile(r"<\*>")


def plain(text: str) -> str:
    """Return the words of a template as a sentence encoder expects them."""
    return " ".join(INNER_CAPITAL.sub(" ", _WILDCARD.sub(" ", text)).lower().split())


class SentenceEncoder:
    """A pretrained encoder by its name on the hub or its folder; safetensors only, no code from the checkpoint."""

    def __init__(self, checkpoint: str, pooler: bool = False) -> None:
        self.checkpoint, self.name, self.pooler = checkpoint, encoder_name(checkpoint), pooler
        self.identity = encoder_identity(checkpoint)
        self.tokenizer, self.model = load_encoder(checkpoint)

    @torch.inference_mode()
    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return vectors (texts, d), the mean over the word pieces of each text."""
        parts = [texts[start : start + ENCODED_AT_ONCE] for start in range(0, len(texts), ENCODED_AT_ONCE)]
        return np.concatenate([self._encoded(part) for part in parts])

    def _encoded(self, texts: list[str]) -> np.ndarray:
        return (
            encode_texts(self.tokenizer, self.model, texts, self.pooler).float().cpu().numpy()
        )  # some are in bfloat16


def load_encoder(checkpoint: str) -> "tuple[PreTrainedTokenizerBase, PreTrainedModel]":
    """Return tokenizer and model, the latter in evaluation mode; raise BadInput if they cannot be loaded."""
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, **LOADING)
        model = AutoModel.from_pretrained(checkpoint, use_safetensors=True, **LOADING)
    except FAULTS as error:
        raise loading_fault(error, checkpoint) from error
    add_padding(tokenizer, checkpoint)
    return tokenizer, model.to(DEVICE).eval()


def encode_texts(
    tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel", texts: list[str], pooler: bool = False
) -> Tensor:
    """Return the mean (texts, d) of the hidden states over the word pieces of each text, see above for which layer.

    With `pooler` what the model's pooler gives for the text as it is, which is what LogLLM publishes; raise BadInput if
    it has none.
    """
    shown = texts if pooler else [plain(text) for text in texts]
    batch = tokenizer(shown, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt").to(model.device)
    causal = not pooler and any("CausalLM" in name for name in model.config.architectures or ())
    found = model(**batch, output_hidden_states=causal)
    if pooler:
        if getattr(found, "pooler_output", None) is None:
            raise BadInput("The recipe paper reads an encoder's pooler, and this one has none; take a BERT, or house.")
        return found.pooler_output
    states, kept = found.last_hidden_state, batch["attention_mask"]  # (texts, pieces, d), (texts, pieces)
    if causal:
        states = found.hidden_states[max(CAUSAL_LAYER, -len(found.hidden_states))]
        begin = model.config.bos_token_id
        kept = kept * (batch["input_ids"] != (-1 if begin is None else begin))
    kept = kept[..., None].to(states.dtype)
    return (states * kept).sum(1) / kept.sum(1).clamp(min=1)
