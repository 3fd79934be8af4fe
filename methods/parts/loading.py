"""How a checkpoint is fetched, and what is said when it cannot be: what language models and encoders have in common."""

import errno
from typing import TYPE_CHECKING

from huggingface_hub.errors import GatedRepoError
from safetensors import SafetensorError

from core.errors import BadInput

if TYPE_CHECKING:  # its import takes seconds
    from transformers import PreTrainedTokenizerBase

LOADING = {"trust_remote_code": False}
FAULTS = (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError)  # what loading a checkpoint raises


def add_padding(tokenizer: "PreTrainedTokenizerBase", checkpoint: str) -> None:
    """Let the end pad where a tokenizer has no padding of its own; raise BadInput if it has neither."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise BadInput(f"{checkpoint} has a tokenizer without padding, so texts cannot be batched; choose another.")


def loading_fault(error: Exception, checkpoint: str) -> BadInput:
    """Return the sentence for what went wrong while `checkpoint` was fetched or read."""
    text, causes = str(error), []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(one, GatedRepoError) for one in causes) or "gated repo" in text:
        return BadInput(
            f"{checkpoint} is gated: accept its license at https://huggingface.co/{checkpoint} and run `hf auth login` "
            "once, or choose a copy without a gate, as the presets are."
        )
    if any(isinstance(one, OSError) and one.errno == errno.ENOSPC for one in causes):
        return BadInput(
            f"No space is left for the weights of {checkpoint}; free some, or let HF_HOME name a folder on a larger "
            "disk."
        )
    if "does not appear to have a file named" in text and "safetensors" in text:
        return BadInput(f"{checkpoint} has no weights in safetensors, and no other format is read; choose another.")
    if "does not appear to have a file named config.json" in text:
        return BadInput(
            f"{checkpoint} has no config.json, as builds in GGUF alone have none; choose the checkpoint in safetensors "
            "that it was made from."
        )
    if "is not a valid model identifier" in text or "couldn't connect" in text or "offline mode" in text:
        return BadInput(
            f"{checkpoint} is neither on the hub nor in the cache of this machine, or the hub cannot be reached; check "
            "the name and the network, or give MODEL a local folder."
        )
    return BadInput(f"{checkpoint} cannot be loaded ({text.splitlines()[0] if text else type(error).__name__}).")
