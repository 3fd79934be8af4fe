"""Logistic regression on the words of a sequence: no model of order, no pretraining but that of an encoder.

- `tfidf`: counts of words, words as in parts/semantics.py, so that a message new to training is read by the words it
  shares with old ones. Their weight by rarity (IDF) is one number a column, which standardization sets anyway.
- `vectors`: the mean vector of its messages, each from a sentence encoder of any name or the offline one.

Columns are standardized, because counts of words span orders of magnitude; the penalty is scikit-learn's, of squared
weights, with C = 1 on words and 100 on vectors. Both were chosen on the validation of two splits of HDFS, where vectors
of length 1 lost a tenth of F1: how much of a message there is says as much as which. Each distinct message is split or
encoded once.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from core.errors import BadInput
from core.keys import Sequences
from methods.parts.labels import SUREST, Refitted
from methods.parts.semantics import encode, split_words
from methods.words.encoders import encoder_identity, encoder_name, text_encoder

WORDS = ("tfidf", "vectors")
PENALTY = {"tfidf": 1.0, "vectors": 100.0}


class Words(Refitted):
    """One of `WORDS`; `encoder` is a name or folder for `vectors`, None the offline one. `fit`, then `score`."""

    method = "words"
    reads = "text"

    def __init__(
        self,
        model: str,
        encoder: str | None = None,
        seed: int = 0,
        *,
        templates: Mapping[str, str | None] | None = None,
    ) -> None:
        """`templates` is what every detector is offered; these get texts for sequences."""
        if model not in WORDS:
            raise BadInput(f"There is no classifier of words {model!r}; take one of {', '.join(WORDS)}.")
        self.model, self.encoder, self.seed = model, encoder, seed
        self.name = model if model == "tfidf" else f"{model}-{encoder_name(encoder)}"

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        about = {} if self.model == "tfidf" else encoder_identity(self.encoder)
        return about | {"C": PENALTY[self.model]}

    def _arguments(self) -> dict:
        return {"model": self.model, "encoder": self.encoder}

    def _learn(self, sequences: Sequences, labels: np.ndarray, weights: np.ndarray) -> int:
        self._messages: dict[str, np.ndarray] = {}
        if self.model == "tfidf":
            words = sorted({word for text in self.keys.keys for word in split_words(text)})
            self._places = {word: place for place, word in enumerate(words)}
        else:
            self._encoder = text_encoder(self.encoder, self.keys.keys)
        features = self._features(sequences)
        self._scaler = StandardScaler().fit(features, sample_weight=weights)
        self._classifier = LogisticRegression(C=PENALTY[self.model], max_iter=2_000)
        self._classifier.fit(self._scaler.transform(features), labels, sample_weight=weights)
        return self._classifier.coef_.size + 1

    def _sums(self, sequences: Sequences) -> np.ndarray:
        """Return the summed word counts, or vectors, of the messages of each sequence, (rows, columns)."""
        new = sorted({text for one in sequences for text in one} - self._messages.keys())
        if new:
            rows = np.array([*map(self._count, new)]) if self.model == "tfidf" else encode(self._encoder, new)
            self._messages |= dict(zip(new, rows, strict=True))
        counted = map(Counter, sequences)
        return np.array([sum(count * self._messages[text] for text, count in own.items()) for own in counted])

    def _count(self, text: str) -> np.ndarray:
        row = np.zeros(len(self._places))
        for word in split_words(text):
            if word in self._places:
                row[self._places[word]] += 1
        return row

    def _features(self, sequences: Sequences) -> np.ndarray:
        """Return the columns, (rows, columns), before they are standardized."""
        sums = self._sums(sequences)
        return sums if self.model == "tfidf" else sums / np.array([*map(len, sequences)])[:, None]

    def _log_odds(self, sequences: Sequences) -> np.ndarray:
        features = self._scaler.transform(self._features(sequences))
        return np.clip(self._classifier.decision_function(features), -SUREST, SUREST)
