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

MOST_TOKENS = 4.0  # a word; SmolLM2's own takes 1.3 to 3.0 on a dozen logs, a broken one, a token a letter, 5 to 7
_MASK = re.compile(r"<[^<>\s]*>")  # the variable parts of a template


def template_words(template: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the token ids of the fixed words of a template; of the whole text if nothing in it is fixed."""
    words = " ".join(_MASK.sub(" ", template).split())
    return tokenizer(words or template, add_special_tokens=False)["input_ids"]


def doubtful_words(templates: Mapping[str, str | None], tokenizer: PreTrainedTokenizerBase, name: str) -> str:
    """Return the sentence for a tokenizer that splits words to pieces that say nothing, "" for any other."""
    texts = [_MASK.sub(" ", text) for text in templates.values() if text]
    words = sum(len(re.findall(r"\w+", text)) for text in texts)
    tokens = sum(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"])) if words else 0
    if not words or tokens <= MOST_TOKENS * words:
        return ""
    return (
        f"The tokenizer of {name} takes {tokens / words:.1f} tokens for a word of the templates, where up to "
        f"{MOST_TOKENS:g} are usual: its files are broken or do not know this language, so keys begin from pieces "
        "without a meaning; save its tokenizer anew, or set KEY_EMBEDDINGS = 'random'."
    )


def mean_rows(rows: Tensor, words: list[list[int]]) -> Tensor:
    """Return one fp32 row a key: the mean of `rows` (tokens, width) over its `words`, or of all if it has none."""
    rows = rows.detach().float()
    overall = rows.mean(0)
    return torch.stack([rows[ids].mean(0) if ids else overall for ids in words])


def noise_rows(rows: Tensor, count: int, seed: int) -> Tensor:
    """Return `count` rows of normal noise with the standard deviation of `rows`; the same on every device."""
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(count, rows.shape[1], generator=chance) * rows.detach().float().std().cpu()


def template_rows(rows: Tensor, words: list[list[int]], seed: int) -> Tensor:
    """Return one fp32 row a key: the mean of `rows` over its `words`, less what all keys have in common.

    At the mean length of random rows; random where nothing is left. Plain means lie close together: from them SmolLM2
    ended .2 nats a key higher on HDFS (benchmarks/README.md).
    """
    means, noise = mean_rows(rows, words).cpu(), noise_rows(rows, len(words), seed)
    own = means - means.mean(0)
    lengths = own.norm(dim=1, keepdim=True)
    is_left = lengths > 1e-4 * means.norm(dim=1).max()  # else rounding
    return torch.where(is_left, own / lengths * noise.norm(dim=1).mean(), noise)


def key_words(
    vocabulary: Vocabulary, templates: Mapping[str, str | None], tokenizer: PreTrainedTokenizerBase
) -> list[list[int]]:
    """Return the words each token id begins from: its template, or for begin and end the model's own special token.

    Where one token is both, as SmolLM2 has it, the end keeps it: of tied layers that row would else be read at the
    begin of every sequence and chosen at its end.
    """
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    special = {BEGIN: begin if begin != end else None, END: end}
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
            starts[side] = template_rows(rows, words, seed + number)
        elif key_embeddings == "random":
            starts[side] = noise_rows(rows, vocabulary.tokens, seed + number)
    restrict_to_keys(model, vocabulary.tokens)
    for side in starts if not tied else list(starts)[:1]:
        layers[side]().weight.copy_(starts[side])


def has_tied_rows(model: PreTrainedModel) -> bool:
    """Return whether one matrix serves as input and output layer."""
    return model.get_input_embeddings().weight is model.get_output_embeddings().weight
