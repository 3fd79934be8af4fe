"""Log keys in a pretrained language model: its input and output layers cut down to the keys.

A detector reads and predicts keys and nothing else, so of the model's own vocabulary only what the keys begin from is
kept. The output layer chooses among V + 4 tokens instead of 128,000 or more, and both layers are small enough to be
trained whole.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from methods.next_key.vocabulary import BEGIN, END, PAD, Vocabulary

_MASK = re.compile(r"<[^<>\s]*>")  # the variable parts of a template


def template_words(template: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the token ids of the fixed words of a template; of the whole text if nothing in it is fixed."""
    words = " ".join(_MASK.sub(" ", template).split())
    return tokenizer(words or template, add_special_tokens=False)["input_ids"]


def mean_rows(rows: Tensor, words: list[list[int]]) -> Tensor:
    """Return one fp32 row a key: the mean of `rows` (tokens, width) over its `words`, or of all if it has none."""
    rows = rows.detach().float()
    overall = rows.mean(0)
    return torch.stack([rows[ids].mean(0) if ids else overall for ids in words])


def noise_rows(rows: Tensor, count: int, seed: int) -> Tensor:
    """Return `count` rows of normal noise with the standard deviation of `rows`; the same on every device."""
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(count, rows.shape[1], generator=chance) * rows.detach().float().std().cpu()


def key_words(
    vocabulary: Vocabulary, templates: Mapping[str, str | None], tokenizer: PreTrainedTokenizerBase
) -> list[list[int]]:
    """Return the words each token id begins from: its template, or for begin and end the model's own special token."""
    special = {BEGIN: tokenizer.bos_token_id, END: tokenizer.eos_token_id}
    words = []
    for token in range(vocabulary.tokens):
        name = vocabulary.name(token)
        if name in vocabulary.keys:
            words.append(template_words(templates.get(name) or name, tokenizer))
        else:
            words.append([special[token]] if special.get(token) is not None else [])
    return words


def restrict_to_keys(model: PreTrainedModel, tokens: int) -> None:
    """Cut both layers, tied or not, to their first `tokens` rows, in place."""
    model.resize_token_embeddings(tokens, mean_resizing=False)
    for config in (model.config, model.config.get_text_config(), model.generation_config):
        config.pad_token_id, config.bos_token_id, config.eos_token_id = PAD, BEGIN, END


@torch.no_grad()
def start_keys(
    model: PreTrainedModel,
    vocabulary: Vocabulary,
    key_embeddings: str,
    words: list[list[int]] | None,
    seed: int,
) -> None:
    """Restrict `model` to the keys and give their rows a start, in place; `words` are there for `template` alone."""
    layers = {"input": model.get_input_embeddings, "output": model.get_output_embeddings}
    tied = has_tied_rows(model)
    starts = {}
    for number, (side, layer) in enumerate(layers.items()):
        rows = layer().weight
        if words is not None:
            starts[side] = mean_rows(rows, words)
        elif key_embeddings == "random":
            starts[side] = noise_rows(rows, vocabulary.tokens, seed + number)
    restrict_to_keys(model, vocabulary.tokens)
    for side in starts if not tied else list(starts)[:1]:
        layers[side]().weight.copy_(starts[side])


def has_tied_rows(model: PreTrainedModel) -> bool:
    """Return whether one matrix serves as input and output layer."""
    return model.get_input_embeddings().weight is model.get_output_embeddings().weight
