"""What MODEL, RECIPE and KEY_EMBEDDINGS of a language model stand for; PyTorch is not needed to know it.

So a command can tell whether a finished run is the one that is asked for before anything large is imported.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from core.asked import short_name, shown
from core.errors import BadInput
from core.files import hash_files
from methods.parts.recipes import RECIPES, TrainingSettings, changed

TINY_MODELS = ("tiny-llama", "tiny-gemma3", "tiny-qwen2", "tiny-qwen3", "tiny-gpt2")  # made by models/tiny.py
PRESETS = {
    # The three of the paper, 4-bit builds by Unsloth, named as in the train.ipynb that its authors released.
    "qwen2.5-0.5b": "unsloth/Qwen2.5-0.5B-Instruct-bnb-4bit",
    "gemma-3-1b": "unsloth/gemma-3-1b-it-unsloth-bnb-4bit",
    "llama-3.2-1b": "unsloth/Llama-3.2-1B-Instruct-bnb-4bit",
    # The smallest base (not chat) checkpoints of current families, without a gate: next-key training needs no chat
    # tuning. Names as in the list of models of unsloth 2026.10.7, SmolLM2 as on its authors' page.
    "gemma-3-270m": "unsloth/gemma-3-270m",
    "qwen3-0.6b": "unsloth/Qwen3-0.6B-Base",
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M",
}
KEY_EMBEDDINGS = {
    "template": "rows start from the model's own rows for the words of the template, and are trained",
    "random": "rows start as noise of the model's own spread, and are trained",
    "paper": "the first rows of the model's vocabulary, frozen, as published",
}
_FOUR_BIT_SUFFIX = re.compile(r"(-unsloth)?-bnb-4bit$")  # how Unsloth names its 4-bit builds
CHECKPOINT_FILES = (".json", ".safetensors", ".txt", ".model")  # config, weights, and the words of its tokenizer


def find_checkpoint(name: str, gpu: bool) -> str | None:
    """Return the hub name or folder that MODEL stands for, None for a tiny model; raise BadInput if it is neither.

    Without a GPU it is the 16-bit original of a 4-bit build.
    """
    if name in TINY_MODELS:
        return None
    name = PRESETS.get(name, name)
    if name.endswith(".gguf") and not is_folder(name):
        _refuse_unreadable(name, {Path(name).name})
    if is_folder(name):
        if (Path(name) / "next_key.json").is_file():
            raise BadInput(
                f"{name} is a trained detector with the keys of another data set as its vocabulary, not a language "
                "model to start from; give MODEL the name or folder that it was trained from."
            )
        _refuse_unreadable(name, {path.name for path in Path(name).iterdir()})
        return name
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return name if gpu else original(name)
    raise BadInput(
        f"There is no model {shown(name)}; choose one of {', '.join([*TINY_MODELS, *PRESETS])}, "
        "a name of the Hugging Face hub (owner/name), or a folder with a saved model."
    )


def _refuse_unreadable(name: str, files: set[str]) -> None:
    """Raise BadInput for GGUF, which takes another package to be read, and for `files` without a config."""
    ends = {Path(file).suffix for file in files}
    if ".gguf" in ends and not ("config.json" in files and ".safetensors" in ends):
        raise BadInput(
            f"{name} is GGUF, which is not read here; give MODEL the safetensors checkpoint that it was made from, or "
            "convert it once where the package gguf is installed: AutoModelForCausalLM.from_pretrained(FOLDER, "
            "gguf_file=FILE).save_pretrained(NEW) of transformers, and the same with AutoTokenizer."
        )
    if "config.json" not in files:
        raise BadInput(
            f"{name} has no config.json, so there is no language model in it; give MODEL the folder that its "
            "save_pretrained wrote, or a name of docs/models.md."
        )


def is_folder(name: str) -> bool:
    """Return whether a checkpoint is a local folder."""
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):  # too long for a path, or no path at all
        return False


def original(checkpoint: str) -> str:
    """Return the 16-bit checkpoint that a 4-bit build on the hub was made from; any other is its own."""
    return checkpoint if is_folder(checkpoint) else _FOUR_BIT_SUFFIX.sub("", checkpoint)


def choose_recipe(name: str | None, checkpoint: str | None, changes: str | None = None) -> TrainingSettings:
    """Return the training settings of RECIPE, those that suit the model if it is None, with the `changes` of SET.

    A model made from a config is trained whole whatever the recipe says. Raise BadInput for another recipe, and for
    what SET cannot change.
    """
    name = name or ("lora" if checkpoint else "tiny")
    if name not in RECIPES:
        raise BadInput(f"There is no RECIPE {shown(name)}; choose one of {', '.join(RECIPES)}.")
    return changed(RECIPES[name] if checkpoint else without_lora(RECIPES[name]), changes)


def without_lora(settings: TrainingSettings) -> TrainingSettings:
    """Return the settings for a model made from a config: there is nothing that an adapter could be put around."""
    return replace(settings, lora_rank=None, lora_alpha=None)


def choose_key_embeddings(wanted: str | None, checkpoint: str | None, has_templates: bool, model: str) -> str:
    """Return how the keys of a model begin; raise BadInput for what this model or these keys cannot have."""
    if checkpoint is None:
        if wanted not in (None, "random"):
            raise BadInput(f"{model} has no rows of its own: KEY_EMBEDDINGS can only be 'random' (or None).")
        return "random"
    if wanted is None:
        return "random"  # measured on a real checkpoint and a small one: benchmarks/README.md
    if wanted not in KEY_EMBEDDINGS:
        raise BadInput(f"There is no KEY_EMBEDDINGS {shown(wanted)}; choose one of {', '.join(KEY_EMBEDDINGS)}.")
    if wanted == "template" and not has_templates:
        raise BadInput("KEY_EMBEDDINGS = 'template' needs templates, and these keys came without; set 'random'.")
    return wanted


def describe(settings: TrainingSettings, key_embeddings: str, checkpoint: str | None) -> dict:
    """Return the settings that a run keeps in its `config.json`; of a local checkpoint also what its files hold."""
    about = asdict(settings) | {"key_embeddings": key_embeddings}
    return about if checkpoint is None else about | base_of(checkpoint)


def base_of(checkpoint: str) -> dict[str, str]:
    """Return the name of a checkpoint, of a folder its last part, so that no machine is named, and its files' hash."""
    about = {"checkpoint": short_name(checkpoint)}
    if is_folder(checkpoint):
        files = [path for path in Path(checkpoint).iterdir() if path.suffix in CHECKPOINT_FILES]
        about["checkpoint_hash"] = hash_files(Path(checkpoint), files)
    return about


def wanted_settings(
    model: str,
    recipe: str | None,
    key_embeddings: str | None,
    templates: Mapping[str, str | None],
    changes: str | None = None,
) -> dict:
    """Return what `NextKey.describe` would, for a machine without a GPU; raise BadInput as `NextKey` does."""
    checkpoint = find_checkpoint(model, gpu=False)
    rows = choose_key_embeddings(key_embeddings, checkpoint, any(templates.values()), model)
    return describe(choose_recipe(recipe, checkpoint, changes), rows, checkpoint)


def refuse_other_bases(folder: Path, saved: dict[str, str], here: dict[str, str]) -> None:
    """Raise BadInput if one of the checkpoints that a detector was trained on, see `base_of`, is another one here."""
    for name, value in saved.items():
        if here.get(name) != value:
            raise BadInput(
                f"{Path(folder).as_posix()} was trained with the {name.replace('_', ' ')} {value}, but here it is "
                f"{here.get(name)}; give the same checkpoint, or train again."
            )
