"""The prompt as token ids: lead, then one position a message, then question and answer."""

import re
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from core.errors import BadInput
from methods.next_key.vocabulary import BEGIN, END, SPECIAL_TOKENS
from methods.supervised.logllm.recipes import Prompt


@dataclass(frozen=True)
class PromptIds:
    """Token ids. `answers` are those of normal and anomalous, whole; `classes` their first tokens that differ."""

    lead: list[int]
    question: list[int]
    prefix: list[int]
    answers: tuple[list[int], list[int]]
    classes: tuple[int, int]

    @property
    def longest(self) -> int:
        """Return how many positions there are beside the messages."""
        return len(self.lead) + len(self.question) + max(map(len, self.answers))


class PromptWords:
    """The tokenizer of a tiny decoder: its vocabulary is the prompt's own words."""

    def __init__(self, prompt: Prompt) -> None:
        whole = " ".join((prompt.lead, prompt.question, prompt.answer, prompt.normal, prompt.anomalous))
        self.words = sorted(set(_split(whole)))

    def __len__(self) -> int:
        """Return the number of token ids."""
        return len(SPECIAL_TOKENS) + len(self.words)

    def ids(self, text: str) -> list[int]:
        """Return the ids of the words of a part of the prompt."""
        return [len(SPECIAL_TOKENS) + self.words.index(word) for word in _split(text)]


def _split(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def tiny_ids(prompt: Prompt, words: PromptWords) -> PromptIds:
    """Return the prompt in the words of a tiny decoder."""
    answers = [[*words.ids(prompt.answer + part), END] for part in (prompt.normal, prompt.anomalous)]
    return _checked(
        prompt, [BEGIN, *words.ids(prompt.lead)], words.ids(prompt.question), words.ids(prompt.answer), answers
    )


def pretrained_ids(prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> PromptIds:
    """Return the prompt in the tokens of a checkpoint, with what its tokenizer itself puts before a text, if anything.

    No token is cut off on the belief that it is a begin: GPT-2 and Qwen have none.
    """

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    with_special = list(tokenizer(prompt.lead)["input_ids"])
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    lead = with_special[:-1] if end and with_special[-1:] == end else with_special
    answers = [[*ids(prompt.answer + part), *end] for part in (prompt.normal, prompt.anomalous)]
    blanks = [token for token in ids(prompt.answer + " ") if not _shown(tokenizer, token)]
    return _checked(prompt, lead, ids(prompt.question), ids(prompt.answer) + blanks[-1:], answers)


def _shown(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """Return what is left of a token without the marks of a blank, of byte-level BPE and of SentencePiece."""
    return str(tokenizer.convert_ids_to_tokens(token)).strip("Ġ▁ ")


def _checked(
    prompt: Prompt, lead: list[int], question: list[int], stem: list[int], answers: list[list[int]]
) -> PromptIds:
    """Return the ids; raise BadInput if the answers share more than `stem`, what stands before their class words."""
    normal, anomalous = answers
    shared = next((place for place, (a, b) in enumerate(zip(normal, anomalous, strict=False)) if a != b), len(normal))
    if shared > len(stem) or shared >= min(len(normal), len(anomalous)):
        raise BadInput(
            f"The class words {prompt.normal.strip()!r} and {prompt.anomalous.strip()!r} share their first token with "
            "this decoder, so one token cannot tell them apart; choose other words in Settings.prompt."
        )
    return PromptIds(lead, question, normal[:shared], (normal, anomalous), (normal[shared], anomalous[shared]))
