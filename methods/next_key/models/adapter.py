"""LoRA around a restricted model: add it, load it, merge it."""

from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import PreTrainedModel

from core.errors import BadInput
from methods.next_key.embeddings import has_tied_rows
from methods.next_key.models.machine import UNSLOTH, Plan, to_full_precision
from methods.parts.recipes import TrainingSettings

TARGETS = "all-linear"  # PEFT's name for all attention and MLP projections, as the paper has it, in every family


def key_layers(model: PreTrainedModel) -> list[str]:
    """Return the names of the input and the output layer within the model, such as embed_tokens and lm_head."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    return [name.rpartition(".")[2] for name, module in model.named_modules() if any(module is one for one in layers)]


def add_adapter(
    model: PreTrainedModel, settings: TrainingSettings, plan: Plan, train_rows: bool, seed: int, checkpointing: bool
) -> PreTrainedModel:
    """Put LoRA on every projection, and train both key layers whole if `train_rows`; what is trained is fp32.

    Tied layers stay tied. LoRA on the key layers themselves would be wrong: merged, it corrupts a tied model.
    """
    options: dict[str, Any] = {
        "r": settings.lora_rank,
        "lora_alpha": settings.lora_alpha,
        "target_modules": TARGETS,
        "modules_to_save": key_layers(model) if train_rows else None,
        "ensure_weight_tying": train_rows and has_tied_rows(model),
    }
    if plan.path == UNSLOTH:
        from unsloth import FastLanguageModel

        wrapped = FastLanguageModel.get_peft_model(
            model, **options, random_state=seed, use_gradient_checkpointing=checkpointing
        )
    else:
        if plan.four_bit:
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        try:
            wrapped = cast("PeftModel", get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options)))
        except ValueError as error:  # Mamba
            kind = model.config.model_type
            raise BadInput(f"PEFT puts no LoRA into a model of type {kind} ({error}); choose another MODEL.") from error
    # While it is named, every checkpoint asks the hub whether the vocabulary was resized; `save_adapter` names it.
    wrapped.peft_config["default"].base_model_name_or_path = ""
    return _as_model(wrapped)


def _as_model(wrapped: PeftModel) -> PreTrainedModel:
    """Return the model with its adapter, trained weights in fp32; it answers to all that the model itself does."""
    to_full_precision(wrapped)
    return cast("PreTrainedModel", wrapped)


def save_adapter(model: PreTrainedModel, folder: Path, checkpoint: str | None) -> None:
    """Write the adapter and the trained key rows, with the name of the checkpoint they belong to."""
    wrapped = cast("PeftModel", model)
    config = wrapped.peft_config["default"]
    config.base_model_name_or_path = checkpoint
    wrapped.save_pretrained(str(folder), save_embedding_layers=False)  # trained rows are among modules_to_save
    config.base_model_name_or_path = ""


def load_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Return a saved adapter around its restricted base, for scoring; trained rows stay in fp32, as they were saved."""
    if PeftConfig.from_pretrained(str(folder)).modules_to_save:
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            layer.to(torch.float32)  # PEFT copies the layers as they are, and would round the rows to 16 bits
    return _as_model(PeftModel.from_pretrained(model, str(folder)))


def merge_adapter(model: PreTrainedModel) -> PreTrainedModel:
    """Return the model without adapter whose weights hold what the adapter had learned."""
    return cast("PreTrainedModel", cast("PeftModel", model).merge_and_unload())
