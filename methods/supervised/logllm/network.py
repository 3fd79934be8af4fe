"""Message vectors through a projector into a causal language model, which answers with one of two sentences."""

from collections.abc import Sequence
from functools import cached_property
from typing import cast

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from methods.next_key.batches import IGNORED
from methods.next_key.models.machine import Plan, to_full_precision
from methods.supervised.logllm.batches import Messages
from methods.supervised.logllm.prompt import PromptIds
from methods.supervised.logllm.recipes import DECODER, ENCODER, PROJECTOR

# Query and value projections as the families name them; GPT-2 has one layer for all three.
QUERY_AND_VALUE = ("q_proj", "v_proj", "query", "value", "q_lin", "v_lin", "q", "v", "c_attn", "Wqkv")


class LogLLMNetwork(nn.Module):
    """The decoder, the projector in fp32, and the encoder if it is trained."""

    def __init__(self, decoder: PreTrainedModel, prompt: PromptIds, size: int, plan: Plan) -> None:
        super().__init__()
        self.decoder, self.prompt, self.plan = decoder, prompt, plan
        self.encoder: nn.Module = nn.Identity()  # in its place, where it is frozen
        rows = cast("Tensor", decoder.get_input_embeddings().weight)
        self.projector = nn.Linear(size, decoder.config.hidden_size).to(rows.device)
        # Vectors have the length sqrt(size), so this gives messages the spread that the decoder's own rows have.
        spread = float(rows.detach().float().std()) if rows.dtype.is_floating_point else 0.02
        nn.init.normal_(self.projector.weight, std=spread / size**0.5)
        nn.init.zeros_(self.projector.bias)

    @cached_property
    def learned(self) -> frozenset[str]:
        """Return the names of the weights that learn in some stage, as they are when this is first asked for."""
        return frozenset(name for name, weights in self.named_parameters() if weights.requires_grad)

    @property
    def parameters_learned(self) -> int:
        """Return how many weights learn in some stage."""
        return sum(weights.numel() for name, weights in self.named_parameters() if name in self.learned)

    def learned_state(self) -> dict[str, Tensor]:
        """Return a copy of the weights that learn: what is kept, and what is written."""
        return {name: one.detach().clone() for name, one in self.named_parameters() if name in self.learned}

    def learn_only(self, parts: Sequence[str]) -> list[nn.Parameter]:
        """Let these parts learn and no other, in training mode; return their weights."""
        self.learned  # noqa: B018, remembered before anything is frozen
        self.eval()
        for name in parts:
            {DECODER: self.decoder, PROJECTOR: self.projector, ENCODER: self.encoder}[name].train()
        for name, weights in self.named_parameters():
            weights.requires_grad_(name in self.learned and name.partition(".")[0] in parts)
        return [weights for weights in self.parameters() if weights.requires_grad]

    def _embed(self, ids: list[int]) -> Tensor:
        layer = self.decoder.get_input_embeddings()
        return layer(torch.tensor(ids, device=self.projector.weight.device))

    def _logits(self, vectors: Tensor, sequences: Sequence[Messages], ends: Sequence[list[int]], kept: int) -> Tensor:
        """Return logits (sequences, kept, tokens) at the last `kept` positions.

        `vectors` (messages, d) by number; `ends` are the ids after the question. Padding is on the left, so that the
        answers of all sequences stand in the same columns; positions count from each sequence's own begin.
        """
        projected = self.projector(vectors.to(self.projector.weight.dtype))  # (messages, D)
        lead = self._embed(self.prompt.lead)
        tails = {tuple(end): self._embed([*self.prompt.question, *end]) for end in ends}
        projected = projected.to(lead.dtype)
        rows = [
            torch.cat([lead, projected[list(messages)], tails[tuple(end)]])  # (own length, D)
            for messages, end in zip(sequences, ends, strict=True)
        ]
        longest = max(map(len, rows))
        shown = torch.stack([nn.functional.pad(row, (0, 0, longest - len(row), 0)) for row in rows])  # (B, L, D)
        lengths = torch.tensor([*map(len, rows)], device=shown.device)
        places = torch.arange(longest, device=shown.device)[None]
        mask = (places >= longest - lengths[:, None]).long()  # (B, L)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        with self.plan.arithmetic():
            found = self.decoder(
                inputs_embeds=shown, attention_mask=mask, position_ids=positions, logits_to_keep=kept, use_cache=False
            )
        return found.logits[:, -kept:].float()

    def losses(self, vectors: Tensor, sequences: Sequence[Messages], labels: Sequence[int]) -> Tensor:
        """Return the cross entropy of each sequence's answer, the mean over its tokens, (sequences,)."""
        answers = [self.prompt.answers[label] for label in labels]
        longest = max(map(len, answers))
        logits = self._logits(vectors, sequences, [answer[:-1] for answer in answers], longest)
        targets = torch.full((len(answers), longest), IGNORED, device=logits.device)
        for row, answer in enumerate(answers):
            targets[row, longest - len(answer) :] = torch.tensor(answer, device=logits.device)
        token_losses = cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
        return token_losses.sum(1) / (targets != IGNORED).sum(1)

    def log_odds(self, vectors: Tensor, sequences: Sequence[Messages]) -> Tensor:
        """Return logit of anomalous minus logit of normal where the class word comes, (sequences,)."""
        logits = self._logits(vectors, sequences, [self.prompt.prefix] * len(sequences), 1)[:, -1]
        normal, anomalous = self.prompt.classes
        return logits[:, anomalous] - logits[:, normal]


def with_lora(
    model: PreTrainedModel, rank: int, alpha: int, dropout: float, plan: Plan | None = None
) -> PreTrainedModel:
    """Return the model with LoRA on its query and value projections; what is trained is fp32."""
    names = {name.rpartition(".")[2] for name, layer in model.named_modules() if hasattr(layer, "weight")}
    targets = [name for name in QUERY_AND_VALUE if name in names] or "all-linear"
    if plan and plan.four_bit:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=True)
    elif plan and plan.device.startswith("cuda"):
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    options = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets)
    wrapped = get_peft_model(model, options)
    wrapped.peft_config["default"].base_model_name_or_path = ""
    to_full_precision(wrapped)
    return cast("PreTrainedModel", wrapped)
