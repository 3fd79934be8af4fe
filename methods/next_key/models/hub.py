"""A pretrained language model by its name: a preset, a hub name or a local folder, through Unsloth or Transformers.

No family is named here: what differs between them (tied layers, module names, context) is read off the model.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from core.errors import BadInput
from methods.next_key.models.machine import UNSLOTH, Plan, choose_plan, current_device, move
from methods.parts.loading import FAULTS, LOADING, loading_fault


def plan_for(checkpoint: str) -> Plan:
    """Return how this checkpoint runs on this machine, from its config alone: nothing large is downloaded yet."""
    try:
        config = AutoConfig.from_pretrained(checkpoint, **LOADING)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(_without_quantization(config), **LOADING)
    except FAULTS as error:
        raise loading_fault(error, checkpoint) from error
    model.tie_weights()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return choose_plan(parameters, already_four_bit=_is_quantized(config))


def refuse_long_context(checkpoint: str, context: int) -> None:
    """Raise BadInput if a checkpoint reads fewer tokens than `context`.

    Some models then stop with an index error, far into the training, others read what they were never trained for.
    """
    config = AutoConfig.from_pretrained(checkpoint, **LOADING).get_text_config()
    limits = [getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len")]
    most = min((limit for limit in limits if limit and limit > 0), default=context)  # XLNet says -1: no limit
    if context > most:
        raise BadInput(f"{checkpoint} reads {most} tokens at most, not {context}; give context={most} (SET of a run).")


def _is_quantized(config: PreTrainedConfig) -> bool:
    return config.to_dict().get("quantization_config") is not None


def _without_quantization(config: PreTrainedConfig) -> PreTrainedConfig:
    plain = config.to_dict()
    plain.pop("quantization_config", None)
    return type(config).from_dict(plain)


def load_checkpoint(checkpoint: str, plan: Plan, context: int, revision: str | None = None) -> PreTrainedModel:
    """Return the model with its own vocabulary on the plan's device; safetensors only, no code from the checkpoint."""
    try:
        if plan.path == UNSLOTH:
            return through_unsloth(checkpoint, plan, context)
        options = {"quantization_config": _four_bits(plan)} if plan.four_bit else {}
        options |= {"use_safetensors": True, "revision": revision, "output_loading_info": True}
        model, about = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=plan.torch_dtype, **options, **LOADING)
    except FAULTS as error:
        raise loading_fault(error, checkpoint) from error
    _refuse_missing(model, about["missing_keys"], checkpoint)
    return model if plan.four_bit else move(model, plan.device)


def _refuse_missing(model: PreTrainedModel, missing: Iterable[str], checkpoint: str) -> None:
    """Raise BadInput if weights are missing: they would be noise, another one at each load.

    Those of the output layer may be, as in a base model without a head: rows of keys take their place.
    """
    read, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    apart = {name for name, weight in model.named_parameters() if weight is head and weight is not read}
    if lost := sorted(set(missing) - apart):
        raise BadInput(
            f"The weights of {checkpoint} lack {lost[0]}{f' and {len(lost) - 1} more' if lost[1:] else ''}, which its "
            "config.json speaks of: one of the two belongs to another model; choose a whole checkpoint."
        )


def _four_bits(plan: Plan) -> BitsAndBytesConfig:
    """Return the settings for NF4 with double quantization (Dettmers et al. 2023, QLoRA)."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=plan.torch_dtype,
    )


def through_unsloth(checkpoint: str, plan: Plan, context: int, **options) -> PreTrainedModel:
    """Return a checkpoint or a saved adapter by Unsloth, which adds its own `options`."""
    from unsloth import FastLanguageModel  # imported already, and first, by machine.py

    model, _ = FastLanguageModel.from_pretrained(
        checkpoint,
        max_seq_length=context,
        dtype=plan.torch_dtype,
        load_in_4bit=plan.four_bit,
        use_exact_model_name=True,  # else a 16-bit name may become another repository's 4-bit build
        use_gradient_checkpointing=False,
        **options,
        **LOADING,
    )
    return model


def load_tokenizer(checkpoint: str) -> PreTrainedTokenizerBase:
    """Return the checkpoint's own tokenizer, which splits templates into words it knows."""
    try:
        return AutoTokenizer.from_pretrained(checkpoint, **LOADING)
    except FAULTS as error:
        raise BadInput(
            f"{checkpoint} has no tokenizer that can be read, and without one the words of the templates mean nothing "
            "to it; save its tokenizer into that folder, or set KEY_EMBEDDINGS = 'random'."
        ) from error


def load_whole(folder: Path) -> PreTrainedModel:
    """Return a model saved whole (a tiny or a merged one), from safetensors in this folder and from nowhere else."""
    options = LOADING | {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    model, about = AutoModelForCausalLM.from_pretrained(folder, **options)
    if about["missing_keys"]:  # they would be noise
        raise ValueError(f"the weights lack {sorted(about['missing_keys'])[0]}")
    return move(model, current_device())


def count_parameters(model: PreTrainedModel) -> dict[str, int]:
    """Return parameters in all, trained, and of the embedding and output rows; tied rows count once."""
    embedding = cast("Tensor", model.get_input_embeddings().weight)
    output = cast("Tensor", model.get_output_embeddings().weight)
    tied = embedding is output
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trained": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        "embedding rows": embedding.numel(),
        "output rows": 0 if tied else output.numel(),
    }
