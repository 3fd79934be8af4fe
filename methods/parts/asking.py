"""Pretrained models that are asked and not trained."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.errors import BadInput
from methods.parts import choices
from methods.parts.learning import DEVICE
from methods.parts.loading import FAULTS, LOADING, loading_fault


def pretrained(model: str) -> str:
    """Return the checkpoint of a name or folder; raise BadInput for a model that is made from a config."""
    checkpoint = None if model.startswith("tiny-") else choices.find_checkpoint(model, gpu=False)
    if checkpoint is None:
        raise BadInput(f"{model} is made from a config and knows no language to be asked in; name a pretrained model.")
    return checkpoint


def loaded(checkpoint: str, kind: Any) -> tuple[Any, Any]:
    """Return tokenizer and model of a `kind` of transformers; raise BadInput if they cannot be loaded."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, **LOADING)
        model = kind.from_pretrained(checkpoint, use_safetensors=True, **LOADING)
    except FAULTS as error:
        raise loading_fault(error, checkpoint) from error
    return tokenizer, model.to(DEVICE).eval()


class Answering:
    """A causal language model that has two answers to a prompt, each known by its first token; nothing is sampled."""

    def __init__(self, checkpoint: str, answers: tuple[str, str], remedy: str) -> None:
        """`remedy` says what to do about too long a prompt. Raise BadInput if the answers begin with one token."""
        self.checkpoint, self.remedy = checkpoint, remedy
        self.tokenizer, self.model = loaded(checkpoint, AutoModelForCausalLM)
        self.first, self.second = (self.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in answers)
        if self.first == self.second:
            raise BadInput(
                f"{checkpoint} begins{answers[0]!r} and{answers[1]!r} with the same token, so it cannot choose "
                "between them; take another model."
            )

    @torch.inference_mode()
    def log_odds(self, prompt: str) -> float:
        """Return the log-probability of the second answer minus that of the first; raise BadInput rather than cut."""
        ids = self.tokenizer(prompt, return_tensors="pt")["input_ids"].to(DEVICE)
        most = getattr(self.model.config, "max_position_embeddings", None)
        if most and ids.shape[1] > most:
            raise BadInput(
                f"A prompt of {ids.shape[1]:,} tokens is longer than the {most:,} that {self.checkpoint} reads; "
                f"{self.remedy}."
            )
        logits = self.model(input_ids=ids).logits[0, -1].float()
        return float(logits[self.second] - logits[self.first])
