"""How much a template reads like a fault: one number for each text, higher for more like one.

Four readers, which differ in what they know. None has seen a label of the log that it judges, and all read words alone:
they are for templates that training never saw. What training saw to be normal is normal, whatever it reads like.

- `FaultWords`: how many words of a list stand in the text. The floor of the others.
- `Anchors`: cosine to the nearest sentences about faults minus that to the nearest harmless ones, by any encoder.
- `Asked`: a causal language model is asked whether the line is a failure; the log-odds of its answers, unsampled.
- `Trained`: logistic regression on the vectors of labeled texts, such as templates by the level their log gives them,
  or the labeled templates of *other* systems; log-odds.

newcomers.py holds what they say against the templates that a log is known to have.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression

from core.errors import BadInput
from methods.parts.semantics import Encoder, cosines, encode, split_words

# Stems in the words of operators, written down before any log was judged with them.
STEMS = (
    *(
        "abort",
        "bad",
        "broken",
        "corrupt",
        "crash",
        "critical",
        "damage",
        "dead",
        "denied",
        "error",
        "exceed",
        "exception",
    ),
    *("fail", "fatal", "fault", "illegal", "invalid", "lost", "missing", "panic", "refused", "severe", "timeout"),
    *("unable", "unavailable", "unexpected", "unreachable", "violation", "warning"),
)
# Written in three styles, of which none was best for all of Apache, Hadoop and OpenStack by the levels of their lines
# (Loghub's samples of 2,000 lines); together, by the three nearest of each side, they were. BGL and HDFS had no part.
OF_FAULTS = (
    "error: operation failed",
    "fatal: process terminated unexpectedly",
    "critical hardware failure",
    "unable to connect, giving up",
    "data lost or corrupted",
    "system crashed",
    "a fatal error has occurred",
    "the node failed",
    "the program crashed with an exception",
    "the connection was lost",
    "memory or disk is broken",
    "the data cannot be read",
    "an error occurred and the operation failed",
    "fatal exception, the program was terminated",
    "hardware failure detected, the node is down",
    "connection lost, the service is unavailable",
    "data are corrupted or lost",
    "kernel panic, the system crashed",
)
HARMLESS = (
    "operation completed successfully",
    "process started",
    "hardware check passed",
    "connected to the server",
    "data written to disk",
    "system is running normally",
    "everything is fine",
    "the node is ready",
    "the program finished normally",
    "the connection was opened",
    "memory and disk are checked",
    "the data were read",
    "received block of size from address",
    "starting task on host",
    "registered component and opened port",
    "session opened for user",
    "configuration parameter set to value",
    "progress report: number of requests handled",
)
NEAREST = 3  # sentences of each side that a text is held against
QUESTION = (
    "Each line is a message of a computer system. Say whether it reports a failure.\n"
    "Message: connection to server established\nFailure: no\n"
    "Message: uncorrectable memory error, node halted\nFailure: yes\n"
    "Message: 12 files copied in 3 seconds\nFailure: no\n"
    "Message: cannot open file, permission denied\nFailure: yes\n"
)
ANSWERS = (" no", " yes")


class FaultWords:
    """The number of words that begin with one of `STEMS`."""

    name = "fault words"

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the counts (n,)."""
        return np.array([sum(word.startswith(STEMS) for word in split_words(text)) for text in texts], dtype=float)


class Anchors:
    """The mean cosine to the `NEAREST` of `OF_FAULTS` minus that to the `NEAREST` of `HARMLESS`."""

    def __init__(self, encoder: Encoder, name: str) -> None:
        self.name, self._encoder = f"anchors, {name}", encoder
        self._sides = [encode(encoder, list(side)) for side in (OF_FAULTS, HARMLESS)]

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the differences (n,), between -2 and 2; 0 for a text without words."""
        if not texts:
            return np.zeros(0)
        vectors = encode(self._encoder, list(texts))
        faults, harmless = (np.sort(cosines(vectors, side), axis=1)[:, -NEAREST:].mean(1) for side in self._sides)
        return faults - harmless


class Asked:
    """A causal language model by its name or folder, shown four answered lines and asked about a fifth."""

    def __init__(self, model: str) -> None:
        self.name = f"asked, {model.rpartition('/')[2]}"
        from methods.parts.asking import Answering, pretrained  # torch, which no other score needs

        self._asked = Answering(pretrained(model), ANSWERS, "take a model that reads longer texts")

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the log-odds (n,) of yes against no."""
        return np.array([self._asked.log_odds(f"{QUESTION}Message: {text}\nFailure:") for text in texts])


class Trained:
    """Logistic regression on the vectors of labeled texts, both classes weighted alike."""

    def __init__(self, encoder: Encoder, name: str, texts: Sequence[str], labels: Sequence[int]) -> None:
        """`labels` are 1 for a fault; raise BadInput with one class alone."""
        if len(set(labels)) < 2:
            raise BadInput("Reading faults is learned from texts of both kinds, and these are all of one.")
        self.name, self._encoder = f"trained, {name}", encoder
        self._model = LogisticRegression(class_weight="balanced", max_iter=1_000)
        self._model.fit(encode(encoder, list(texts)), np.asarray(labels))

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the log-odds (n,) of a fault."""
        return self._model.decision_function(encode(self._encoder, list(texts)))
