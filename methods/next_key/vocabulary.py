"""Log keys as word-level tokens. Made from the training split alone, in sorted order, so ids never depend on chance."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from core.errors import BadInput
from core.keys import KeyNumbers

PAD, BEGIN, UNSEEN, END = range(4)
SPECIAL_TOKENS = ("<pad>", "<begin>", "<unseen>", "<end>")
FIRST_CHOICE = END  # from here on ids can come next: the end, then the keys


class Vocabulary:
    """Ids of the V known keys. Only the end and the keys can come next, so a model chooses among V + 1."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.numbers = KeyNumbers(keys)
        for key in self.keys:
            if key in SPECIAL_TOKENS or key.split() != [key]:
                raise BadInput(f"The log key {key!r} cannot be a word of the vocabulary; rename it in the key file.")

    @property
    def keys(self) -> list[str]:
        """Return the V keys, in the order of their ids."""
        return self.numbers.keys

    @classmethod
    def of(cls, sequences: Iterable[Sequence[str]]) -> "Vocabulary":
        """Return the keys of these sequences, which must be the training split and nothing else."""
        return cls(KeyNumbers.of(sequences).keys)

    def __len__(self) -> int:
        """Return V, the number of known keys, special tokens not counted."""
        return len(self.keys)

    @property
    def tokens(self) -> int:
        """Rows of the embedding: the keys and the special tokens."""
        return len(self.keys) + len(SPECIAL_TOKENS)

    @property
    def unseen_rank(self) -> int:
        """The rank of a key that training never saw: one past the V + 1 choices."""
        return len(self.keys) + 2

    def encode(self, sequence: Sequence[str]) -> list[int]:
        """Return token ids `begin, keys, end`; keys that training never saw become UNSEEN."""
        numbers = self.numbers.encode(sequence)
        return [BEGIN, *np.where(numbers < 0, UNSEEN, numbers + len(SPECIAL_TOKENS)).tolist(), END]

    def name(self, token: int) -> str:
        """Return the key, or the name of the special token, of an id."""
        return SPECIAL_TOKENS[token] if token < len(SPECIAL_TOKENS) else self.keys[token - len(SPECIAL_TOKENS)]

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the same ids as a Hugging Face tokenizer, saved with the model so that it explains itself."""
        words = {token: number for number, token in enumerate((*SPECIAL_TOKENS, *self.keys))}
        model = Tokenizer(WordLevel(words, unk_token=SPECIAL_TOKENS[UNSEEN]))
        model.pre_tokenizer = WhitespaceSplit()
        names = zip(("pad_token", "bos_token", "unk_token", "eos_token"), SPECIAL_TOKENS, strict=True)
        return PreTrainedTokenizerFast(tokenizer_object=model, **dict(names))

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        """Return the vocabulary of a saved model; raise ValueError if its tokenizer is damaged."""
        try:
            words = AutoTokenizer.from_pretrained(folder, local_files_only=True).get_vocab()
        except Exception as error:  # the tokenizers library raises nothing more specific
            raise ValueError(f"its tokenizer cannot be read: {error}") from error
        return cls(word for word in words if word not in SPECIAL_TOKENS)
