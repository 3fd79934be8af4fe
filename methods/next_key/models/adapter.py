"""LoRA around a restricted model: add it, load it, merge it."""

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import PreTrainedModel

from methods.next_key.embeddings import has_tied_rows
from methods.next_key.models.machine import UNSLOTH, Plan
from methods.next_key.recipes import TrainingSettings

TARGETS = "all-linear"  # PEFT's name for all attention and MLP projections, as the paper has it, in every family


def key_layers(model: PreTrainedModel) -> list[str]:
    """The names of the input and the output layer within the model, such as embed_tokens and lm_head."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    return [name.rpartition(".")[2] for name, module in model.named_modules() if any(module is one for one in layers)]


def add_adapter(
    model: PreTrainedModel, settings: TrainingSettings, plan: Plan, train_rows: bool, seed: int, checkpointing: bool
) -> PeftModel:
    """LoRA on every projection, and both key layers trained whole if `train_rows`; what is trained is fp32.

    Tied layers stay tied. LoRA on the key layers themselves would be wrong: merged, it corrupts a tied model.
    """
    options = {
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
        wrapped = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    to_full_precision(wrapped)
    # While it is named, every checkpoint asks the hub whether the vocabulary was resized; `save_adapter` names it.
    wrapped.peft_config["default"].base_model_name_or_path = ""
    return wrapped


def to_full_precision(model: PreTrainedModel) -> None:
    """Trained weights to fp32, in place: a loss scaler refuses fp16 gradients, and bf16 loses small steps."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def save_adapter(model: PeftModel, folder: Path, checkpoint: str) -> None:
    """The adapter and the trained key rows, with the name of the checkpoint they belong to."""
    config = model.peft_config["default"]
    config.base_model_name_or_path = checkpoint
    model.save_pretrained(folder, save_embedding_layers=False)  # trained rows are among modules_to_save
    config.base_model_name_or_path = ""


def load_adapter(model: PreTrainedModel, folder: Path) -> PeftModel:
    """A saved adapter around its restricted base, for scoring."""
    wrapped = PeftModel.from_pretrained(model, str(folder))
    to_full_precision(wrapped)
    return wrapped
