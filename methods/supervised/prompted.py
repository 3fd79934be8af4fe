"""A language model that is asked about a text, not trained: with examples in its prompt, or as a judge of entailment.

- `InContext`: a causal language model is told what the classes look like, by examples of training, and the score is
  how much likelier the word for anomalous is than that for normal as the next one. Nothing is sampled, and no answer
  is read out of prose, as the source does (Jin et al., SC 2024).
- `ZeroShot`: a model of natural language inference (Yin, Hay and Roth, EMNLP 2019) says how much likelier "this job is
  anomalous" follows from the text than "this job is normal"; what the two sentences say is up to `wording`.

Both are for experiments: they have no threshold, so that only their ranking says something, and they are not saved.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from transformers import AutoModelForSequenceClassification

from core.data import Labeled
from core.errors import BadInput
from core.keys import Sequences, distinct
from methods.parts.asking import Answering, loaded, pretrained
from methods.parts.labels import check_both_classes, judged
from methods.parts.learning import DEVICE

WORDINGS = {
    "plain": ("This job is normal.", "This job is anomalous."),
    "cause": ("This job ran on a healthy machine.", "This job ran on a slow machine."),
    "finding": ("Nothing is wrong with this job.", "Something is wrong with this job."),
}
INSTRUCTION = "Each line describes a job of a scientific workflow. Say whether it is normal or anomalous.\n"
ANSWERS = (" normal", " anomalous")


class InContext:
    """A causal model with `examples` of each class in its prompt, drawn by `seed`. `fit`, then `score`."""

    method, reads, learns = "in_context", "text", "labels"

    def __init__(
        self,
        model: str,
        seed: int = 0,
        *,
        examples: int = 3,
        templates: Mapping[str, str | None] | None = None,
    ) -> None:
        """`templates` is what every detector is offered; this one gets texts for sequences."""
        self.checkpoint = pretrained(model)
        self.seed, self.examples = seed, examples
        self.name = f"{model.rpartition('/')[2]}-{examples}"

    def fit(self, train: Labeled, validation: Labeled, checkpoints: Path) -> pl.DataFrame:
        """Draw the examples from training, the classes in turn; nothing is learned."""
        check_both_classes(train)
        chance = np.random.default_rng(self.seed)
        shown = []
        for label in (0, 1):
            rows = chance.permutation(np.flatnonzero(train.labels == label))[: self.examples]
            shown.append([f"{' ; '.join(train.sequences[row])}:{ANSWERS[label]}\n" for row in rows])
        self.lead = INSTRUCTION + "".join(text for pair in zip(*shown, strict=False) for text in pair)
        self.asked = Answering(self.checkpoint, ANSWERS, "show fewer examples")
        return pl.DataFrame({"epoch": [0], "seconds": [0.0]})

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """Return `score` and `log_odds`, the log-probability of the second answer minus that of the first."""
        texts, rows = distinct([[" ; ".join(texts)] for texts in sequences])
        found = [self.asked.log_odds(f"{self.lead}{text}:") for (text,) in texts]
        return judged(np.array(found)[rows], self.reads)


class ZeroShot:
    """A model of natural language inference, asked with one of `WORDINGS`. `fit` loads it, then `score`."""

    method, reads, learns = "zero_shot", "text", "labels"

    def __init__(
        self,
        model: str,
        seed: int = 0,
        *,
        wording: str = "plain",
        templates: Mapping[str, str | None] | None = None,
    ) -> None:
        """`templates` is what every detector is offered; this one gets texts for sequences."""
        if wording not in WORDINGS:
            raise BadInput(f"There is no wording {wording!r}; choose one of {', '.join(WORDINGS)}.")
        self.checkpoint, self.seed, self.wording = pretrained(model), seed, wording
        self.name = f"{model.rpartition('/')[2]}-{wording}"

    def fit(self, train: Labeled, validation: Labeled, checkpoints: Path) -> pl.DataFrame:
        """Load the model; nothing is learned, and no label is read."""
        self.tokenizer, self.model = loaded(self.checkpoint, AutoModelForSequenceClassification)
        labels = {str(name).lower(): number for number, name in self.model.config.id2label.items()}
        found = [number for name, number in labels.items() if name.startswith("entail")]
        if not found:
            raise BadInput(
                f"{self.checkpoint} has the classes {', '.join(labels)} and none that says entailment; take a model of "
                "natural language inference, such as facebook/bart-large-mnli."
            )
        self.entailed = int(found[0])
        return pl.DataFrame({"epoch": [0], "seconds": [0.0]})

    @torch.no_grad()
    def score(self, sequences: Sequences) -> pl.DataFrame:
        """Return `score` and `log_odds`, by how much more the second sentence is entailed than the first."""
        texts, rows = distinct([[" ; ".join(texts)] for texts in sequences])
        normal, anomalous = (self._entailed([text for (text,) in texts], said) for said in WORDINGS[self.wording])
        return judged((anomalous - normal)[rows], self.reads)

    def _entailed(self, texts: Sequence[str], said: str) -> np.ndarray:
        found = []
        for text in texts:
            batch = self.tokenizer(text, said, return_tensors="pt", truncation=False).to(DEVICE)
            found.append(float(torch.log_softmax(self.model(**batch).logits[0].float(), 0)[self.entailed]))
        return np.array(found)
