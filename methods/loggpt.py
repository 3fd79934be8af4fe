"""LogGPT: a GPT-2 learns the next log key, then is reinforced for expecting the observed keys after keys of its own.

Han, Yuan and Trabelsi, "LogGPT: Log Anomaly Detection via GPT" (IEEE BigData 2023, arXiv 2309.14482). Implemented: both
stages, the second one for any model that `methods.next_key` takes (with LoRA it trains what LoRA trains). Its variants:

- `ppo`: as the paper describes it. A prompt, the first fifth of a training sequence, is continued by sampling to the
  length of the sequence. Each step earns 1 if the observed key is among the K likeliest then, K half of the training
  keys, else -1. PPO's clipped ratio on the sampled keys.
- `released`: what nokia/LogGPT (950b4aa) does instead. Rewards over the prompt, too, from the second key on; the
  likelihood of the TRUE keys times the sum of all rewards, which is no policy gradient; dropout on. Different here:
  plain sampling in place of its sampling beam search with 20 beams, no early end.
- `logllama`: the stage of LogLLaMA (Yang and Harris 2025, arXiv 2503.14849), unverified: its full text was not to be
  had, this follows summaries. REINFORCE with an entropy bonus and clipped rewards; a miss in a sequence of
  `labeled_anomalies` earns 1 as well, which makes the detector SUPERVISED (none by default).

The paper leaves open, so ours: a key is credited with the rewards after it, discounted, less their mean; the policy
chooses among the keys and not the end, because the length is given; dropout is off but in `released`. Different on
purpose: the first key and the end are judged, too, distinct sequences are weighted by how often they occur, and the
last episode is kept: the lowest validation likelihood would mostly undo the stage, which optimizes something else. It
has no loss scaler for GPUs that compute in fp16.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from core.asked import short_name
from core.errors import BadInput
from core.keys import Sequences, weigh
from core.schemas import SavedLogGPT, read_checked
from methods.next_key import NextKey
from methods.next_key.batches import chunk, pad
from methods.next_key.models.machine import to_full_precision
from methods.next_key.scoring import choice_log_probabilities
from methods.parts import disk, reinforce
from methods.parts.learning import draw, learn
from methods.parts.recipes import TrainingSettings
from methods.parts.reinforce import Episodes, Policy, Rollout, key_choices
from methods.parts.threads import one_thread

REINFORCEMENTS = ("ppo", "released", "logllama")
VALIDATED_AT_ONCE = 256

# Theirs: AdamW, 1e-4, batches of 16, every copy a row, 100 epochs. Ours, by validation loss on HDFS in one CPU minute.
PRETRAINING = TrainingSettings(learning_rate=4e-3, max_epochs=12)
COLUMNS = ("stage", "epoch", "training_loss", "validation_loss", "reward", "seconds")


@dataclass(frozen=True)
class Settings:
    """Prompt, K and clipping are published; the paper's 1e-6 and 20 episodes are for steps of one sequence each."""

    pretraining: TrainingSettings | None = None  # None: PRETRAINING for tiny-gpt2, next_key's own for other models
    prompt_share: float = 0.2  # of begin, keys and end, but the begin and one key at least; LogGPT
    top_share: float = 0.5  # K as a share of the V training keys; LogGPT and LogLLaMA
    episodes: int = 10  # ours; LogLLaMA's, too
    learning_rate: float = 1e-5  # ours, for the batches below; falls to nearly nothing in the last episode
    batch_size: int = 64  # ours: distinct sequences
    discount: float = 0.9  # ours, of a reward for each step that it lies further ahead
    epsilon: float = 0.2  # ppo; Schulman et al. 2017 (PPO), their best on their tasks
    updates: int = 2  # ppo: optimizer steps on the same generations; ours
    entropy_bonus: float = 0.01  # logllama; ours, its size is not known
    reward_clip: float = 5.0  # logllama: what a key is credited with lies within +-5; ours, its size is not known


class LogGPT:
    """A next-key model with a second stage. `fit`, then `score`; `save` and `load` give the same scores.

    `model` is one of `next_key`; `reinforcement` one of `REINFORCEMENTS`, or None, which stops after the first stage.
    `labeled_anomalies`, sequences of keys, are for `logllama` alone and make it supervised.
    """

    method = "loggpt"
    reads, learns = "keys", "normals"

    def __init__(
        self,
        model: str = "tiny-gpt2",
        seed: int = 0,
        *,
        reinforcement: str | None = "ppo",
        settings: Settings | None = None,
        templates: Mapping[str, str | None] | None = None,
        labeled_anomalies: Sequences = (),
    ) -> None:
        if reinforcement not in (None, *REINFORCEMENTS):
            raise BadInput(f"There is no reinforcement {reinforcement!r}; choose one of {', '.join(REINFORCEMENTS)}.")
        if len(labeled_anomalies) and reinforcement != "logllama":
            raise BadInput("Labeled anomalies change the reward of reinforcement='logllama' alone; leave them out.")
        self.reinforcement, self.settings = reinforcement, settings or Settings()
        pretraining = self.settings.pretraining or (PRETRAINING if model == "tiny-gpt2" else None)
        self.detector = NextKey(model, seed, settings=pretraining, templates=templates)
        self.labeled_anomalies, self.labels = labeled_anomalies, len(labeled_anomalies)

    @property
    def name(self) -> str:
        """The model and what was done to it."""
        return "-".join(part for part in (short_name(self.detector.name), self.reinforcement) if part)

    @property
    def seed(self) -> int:
        """Of both stages, generations included."""
        return self.detector.seed

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        about = {f"pretraining_{name}": value for name, value in self.detector.describe().items()}
        about |= {"reinforcement": self.reinforcement, "labeled_anomalies": self.labels}
        return about | (self._own_settings() if self.reinforcement else {})

    def _own_settings(self) -> dict:
        return {name: value for name, value in asdict(self.settings).items() if name != "pretraining"}

    @property
    def parameters(self) -> int:
        """How many weights are learned."""
        return self.detector.parameters

    # ------------------------------------------------------------------------------------------------------ learning

    def fit(self, train_sequences: Sequences, validation: Sequences, checkpoints: Path) -> pl.DataFrame:
        """Learn in both stages, each going on from `checkpoints`; return a row an epoch or episode, from 0.

        `training_loss`; `validation_loss`, nats a key; `reward`, the mean over the steps on validation, from -1 to 1,
        of the second stage; `seconds` since the start of the first.
        """
        first = self._pretrain(train_sequences, validation, Path(checkpoints))
        first = first.with_columns(stage=pl.lit("pretraining"), reward=pl.lit(None, pl.Float64)).select(COLUMNS)
        if self.reinforcement is None:
            return first
        second = self._reinforce(train_sequences, validation, Path(checkpoints) / "reinforcement")
        second = second.with_columns(stage=pl.lit("reinforcement"), seconds=pl.col("seconds") + first["seconds"].max())
        return pl.concat([first, second.select(COLUMNS)])

    def _pretrain(self, train_sequences: Sequences, validation: Sequences, checkpoints: Path) -> pl.DataFrame:
        """Return the curve of the first stage; both it and the model come from disk, now or when resumed."""
        kept, about = checkpoints / "pretrained", checkpoints / "pretraining.json"
        if not _is_whole(kept, about):
            curve = self.detector.fit(train_sequences, validation, checkpoints / "pretraining")
            about.write_text(curve.write_json(), encoding="utf-8")
            self.detector.save(kept)
        self.detector = NextKey.load(kept, train_sequences)
        model = self.detector.model  # read now: the checkpoints may be gone when it is first used
        if self.detector.settings.lora_rank is not None:
            model.set_adapter("default")  # a loaded adapter is frozen
            to_full_precision(model)
        return pl.read_json(about, infer_schema_length=None)

    def _reinforce(self, train_sequences: Sequences, validation: Sequences, checkpoints: Path) -> pl.DataFrame:
        settings, keys = self.settings, self.detector.vocabulary.keys
        policy = Policy(self.detector.model, settings.episodes)
        observed, weights = self.episodes(train_sequences, self.labeled_anomalies)
        validated = self.episodes(validation)

        def batches() -> Iterator[Rollout]:
            policy.train(self.reinforcement == "released")  # `learn` has just turned dropout on
            for rows, shares in draw(weights, settings.batch_size):
                rollout = self.roll_out(policy, observed.take(rows), shares)
                yield from [rollout] * (settings.updates if self.reinforcement == "ppo" else 1)

        def validate() -> float:
            policy.mean_rewards[policy.mean_rewards.isfinite().sum()] = self.mean_reward(policy, *validated)
            return self.detector.loss(validation)

        with one_thread(self.detector.plan.is_faster_on_one_thread(settings.batch_size)):
            curve = learn(
                policy,
                batches,
                lambda rollout: self.policy_loss(policy, rollout),
                validate,
                learning_rate=settings.learning_rate,
                max_epochs=settings.episodes,
                patience=settings.episodes,
                seed=self.seed,
                checkpoints=checkpoints,
                belongs_to=f"{self.name}, {settings.episodes} episodes, {len(keys)} keys, {keys[0]} to {keys[-1]}",
                keep_last=True,
            )
        return curve.with_columns(reward=pl.Series(policy.mean_rewards.tolist(), dtype=pl.Float64))

    def episodes(self, sequences: Sequences, labeled: Sequences = ()) -> tuple[Episodes, Tensor]:
        """Return the distinct sequences, `labeled` anomalies after them, and how often each occurs (rows,).

        Of a sequence beyond the context its first part.
        """
        (normal, counts), (abnormal, more) = weigh(sequences), weigh(labeled)
        encoded = [self.detector.vocabulary.encode(keys) for keys in (*normal, *abnormal)]
        shown = [chunk(number, ids, self.detector.settings.context)[0] for number, ids in enumerate(encoded)]
        lengths = torch.tensor([[len(one.ids)] for one in shown])
        prompts = (self.settings.prompt_share * lengths).long().clamp(min=2)
        labels = torch.arange(len(shown))[:, None] >= len(normal)
        weights = torch.from_numpy(np.concatenate([counts, more]))
        device = self.detector.model.device
        parts = (part.to(device) for part in (pad(shown)["input_ids"], lengths, prompts, labels))
        return Episodes(*parts), weights.to(device)

    def roll_out(
        self, policy: Policy, episodes: Episodes, weights: Tensor, chance: torch.Generator | None = None
    ) -> Rollout:
        """Let the policy continue the prompts, in one pass; rows count by `weights`."""
        with self.detector.plan.arithmetic():
            shown, logits = policy.generate(episodes, chance)
        rewards = self.rewards(choice_log_probabilities(logits), episodes)
        return Rollout(episodes, weights, shown, key_choices(logits, shown)[1], rewards)

    def rewards(self, log_probabilities: Tensor, episodes: Episodes) -> Tensor:
        """Return 1 or -1 at every place, judged or not, by `log_probabilities` (rows, places, V + 1)."""
        top = max(1, int(self.settings.top_share * len(self.detector.vocabulary)))
        rewards = reinforce.top_k_rewards(log_probabilities, episodes.columns, top)
        return torch.where(episodes.labeled, 1.0, rewards)

    def policy_loss(self, policy: Policy, rollout: Rollout) -> Tensor:
        """Return what an optimizer step lowers, from one teacher-forced pass over what the policy has generated."""
        with self.detector.plan.arithmetic():
            logits = policy(rollout.shown)
        if self.reinforcement == "released":
            return self._released_loss(choice_log_probabilities(logits), rollout)
        settings, chosen = self.settings, rollout.episodes.chosen
        earned = reinforce.rewards_that_follow(rollout.rewards, rollout.episodes.judged, settings.discount)
        keys, taken = key_choices(logits, rollout.shown)
        if self.reinforcement == "ppo":
            advantages = reinforce.advantages(earned, chosen, rollout.weights)
            losses = reinforce.clipped_loss(taken, rollout.before, advantages, settings.epsilon)
        else:
            clipped = earned.clamp(-settings.reward_clip, settings.reward_clip)
            advantages = reinforce.advantages(clipped, chosen, rollout.weights)
            losses = -taken * advantages - settings.entropy_bonus * reinforce.entropy(keys)
        return (losses * chosen * rollout.weights[:, None]).sum() / chosen.sum().clamp(min=1)

    def _released_loss(self, log_probabilities: Tensor, rollout: Rollout) -> Tensor:
        columns, places = rollout.episodes.columns.clamp(min=0), rollout.episodes.from_second
        true = log_probabilities.gather(-1, columns[..., None])[..., 0]
        losses = reinforce.likelihood_times_reward(true, self.rewards(log_probabilities, rollout.episodes), places)
        return (losses * rollout.weights).mean()

    def mean_reward(self, policy: Policy, episodes: Episodes, weights: Tensor) -> float:
        """Return over the judged places; with the same chance at every call, so that differences are the policy's."""
        chance, total, places = torch.Generator(weights.device).manual_seed(self.seed), 0.0, 0.0
        for rows in torch.arange(len(weights), device=weights.device).split(VALIDATED_AT_ONCE):
            rollout = self.roll_out(policy, episodes.take(rows), weights[rows], chance)
            shares = rollout.weights[:, None] * rollout.episodes.judged
            total, places = total + float((rollout.rewards * shares).sum()), places + float(shares.sum())
        return total / max(places, 1.0)

    # ------------------------------------------------------------------------------------------------ scores and disk

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """Return one row a sequence, in order; columns as in `judging.summarize`."""
        return self.detector.score(sequences)

    def save(self, folder: Path) -> None:
        """Write what `NextKey` saves and `loggpt.json`, whole or not at all."""
        about = {"reinforcement": self.reinforcement, "labels": self.labels, "settings": self._own_settings()}
        with disk.replace_folder(folder) as place:
            self.detector.save(place)
            (place / "loggpt.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, train_sequences: Sequences | None = None) -> "LogGPT":
        """Return a saved detector; raise BadInput if there is none, or, with `train_sequences`, one of other keys."""
        path = Path(folder) / "loggpt.json"
        if not path.is_file():
            raise BadInput(f"{Path(folder).as_posix()} holds no trained detector; run compare.ipynb first.")
        about = read_checked(path, SavedLogGPT, disk.AGAIN)
        detector = NextKey.load(folder, train_sequences)
        settings = replace(disk.settings_of(about, Settings, path), pretraining=detector.settings)
        loaded = cls(seed=detector.seed, reinforcement=about["reinforcement"], settings=settings)
        loaded.detector, loaded.labels = detector, about["labels"]
        return loaded


def _is_whole(kept: Path, about: Path) -> bool:
    """Return whether the first stage is complete and can be read back; what is damaged is removed, and said so."""
    if not kept.is_dir():
        return False
    try:
        pl.read_json(about, infer_schema_length=None)
        return NextKey.load(kept).model is not None
    except (BadInput, pl.exceptions.PolarsError, OSError) as error:
        print(f"{kept.as_posix()} is damaged ({error}): the first stage begins anew", flush=True)
        shutil.rmtree(kept.parent / "reinforcement", ignore_errors=True)  # it went on from there
        return False
