"""The verdicts that `benchmarks.unstable` asks about changed logs: learned once, on logs that nobody changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from core.data import Data
from core.keys import Sequences
from evaluation import floors, rules
from methods.next_key import NextKey
from methods.supervised.counts import Counts
from methods.supervised.logllm import LogLLM
from methods.words.places import Expected

ALPHA = 0.01  # false alarms that the thresholds allow


@dataclass(frozen=True)
class Learned:
    """What training gives: what is expected by the normals and by all, and the verdicts."""

    normals: Expected
    everything: Expected
    training: pl.Series
    decision: dict
    tree: Counts | None
    model: NextKey | None
    model_decision: dict
    logllm: LogLLM | None

    def judge(self, sequences: Sequences, labeled: Sequences) -> dict[str, np.ndarray]:
        """Return the flags of each verdict; `labeled` are the sequences as the tree is to read them."""
        shown = pl.Series(sequences, dtype=pl.List(pl.String))
        seen = floors.familiarity(self.training, shown)
        counted = floors.count_ngrams(self.training, shown)["bigram"]
        scores = pl.concat([counted, seen.select("count_vector_seen")], how="horizontal")
        flags = rules.apply(scores, self.decision)["flagged_tail_probability"].to_numpy()
        found = {"count vector": ~seen["count_vector_seen"].to_numpy(), "bigram": flags}
        if self.model:
            scored = pl.concat([self.model.score(sequences), seen.select("count_vector_seen")], how="horizontal")
            found[self.model.name] = rules.apply(scored, self.model_decision)["flagged_tail_probability"].to_numpy()
        if self.tree:
            found["tree"] = self.tree.score(labeled)["log_odds"].to_numpy() > 0
        return found

    def judge_texts(self, sequences: Sequences, words: Mapping[str, str]) -> np.ndarray:
        """Return LogLLM's flags of sequences of keys with these words."""
        assert self.logllm is not None
        texts = [[words[key] for key in keys] for keys in sequences]
        return self.logllm.score(texts)["log_odds"].to_numpy() > 0


def learn(data: Data, name: str | None = None, logllm: bool = False, encoder: str | None = None) -> Learned:
    """Return what the training split gives, thresholds calibrated on validation normals; `name` is that of a model."""
    normals, whole = data.split("train", "keys")["keys"], data.labeled("train")
    validation = data.split("validation", "keys")["keys"]
    counted = floors.count_ngrams(normals, validation)["bigram"]
    seen = floors.familiarity(normals, validation).select("count_vector_seen")
    expected = Expected.by_bigram(normals.to_list())
    decision = rules.calibrate(pl.concat([counted, seen], how="horizontal"), len(expected.keys), ALPHA)
    tree = Counts("tree") if data.training_anomalies else None
    if tree:
        tree.fit(whole, data.labeled("validation"), Path())
    model = NextKey(name, templates=data.templates) if name else None
    calibrated = calibrated_model(model, data, seen) if model else {}
    return Learned(
        expected,
        Expected.by_bigram(whole.sequences),
        normals,
        decision,
        tree,
        model,
        calibrated,
        trained_logllm(data, encoder) if logllm else None,
    )


def calibrated_model(model: NextKey, data: Data, seen: pl.DataFrame) -> dict:
    """Train a next-key model on the normals; return its rules, calibrated on those of validation."""
    with TemporaryDirectory() as folder:
        model.fit(data.keys("train"), data.keys("validation"), Path(folder))
    scored = pl.concat([model.score(data.keys("validation")), seen], how="horizontal")
    return rules.calibrate(scored, len(data.known_keys), ALPHA)


def trained_logllm(data: Data, encoder: str | None) -> LogLLM:
    """Return LogLLM with a tiny decoder, trained on the labeled training as it stands."""
    shown = [one._replace(sequences=data.texts(one.sequences)) for one in map(data.labeled, ("train", "validation"))]
    detector = LogLLM("tiny-llama", encoder)
    with TemporaryDirectory() as folder:
        detector.fit(*shown, Path(folder))
    return detector
