"""Whether a language model sees only what came before: an encoder would read the key that it is to predict."""

import torch
from transformers import PreTrainedModel

from core.errors import BadInput
from methods.next_key.models.machine import Plan
from methods.next_key.vocabulary import FIRST_CHOICE

LENGTH = 8  # tokens that are shown


@torch.no_grad()
def refuse_seeing_ahead(model: PreTrainedModel, tokens: int, plan: Plan, name: str) -> None:
    """Change the last of a few tokens; raise BadInput if a logit at an earlier place moves.

    The same shapes give the same sums, so in a causal model nothing moves; the tolerance is for kernels that differ.
    """
    shown = torch.arange(FIRST_CHOICE, FIRST_CHOICE + LENGTH, device=model.device).remainder(tokens)[None]
    changed = shown.clone()
    changed[0, -1] = (changed[0, -1] + 1) % tokens
    training = model.training
    model.eval()
    with plan.arithmetic():
        before, after = (model(input_ids=ids, use_cache=False).logits[0, :-1].float() for ids in (shown, changed))
    model.train(training)
    moved, spread = (before - after).abs().max(), before.std()
    if moved > (1e-2 if plan.is_mixed else 1e-4) * spread:
        raise BadInput(
            f"{name} reads in both directions, as encoders do: it would see the key that it is to predict; choose a "
            "causal language model, such as a preset of docs/models.md."
        )
