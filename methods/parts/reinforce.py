"""Reinforcement of a language model of keys: it continues observed sequences by itself and is rewarded on the way.

Tensors are (rows, places): at place i of a row the model has read the tokens 0 to i, and token i + 1 comes next. Log
keys are the tokens from `FIRST_KEY` on, the end is the one before them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from methods.next_key.vocabulary import END

FIRST_KEY = END + 1


@dataclass(frozen=True)
class Episodes:
    """Observed sequences: `ids` of begin, keys and end, (rows, longest), padded on the right; the rest is (rows, 1).

    `lengths` and `prompts`, how much of it is shown, in tokens; `labeled` says which are known anomalies.
    """

    ids: Tensor
    lengths: Tensor
    prompts: Tensor
    labeled: Tensor

    def take(self, rows: Tensor) -> "Episodes":
        """Return some of them, no wider than the longest."""
        lengths = self.lengths[rows]
        return Episodes(self.ids[rows, : lengths.max()], lengths, self.prompts[rows], self.labeled[rows])

    @property
    def columns(self) -> Tensor:
        """The token observed next as a column of the V + 1 choices, negative where none of them is."""
        return torch.where(self.ids[:, 1:] < END, -1, self.ids[:, 1:] - END)

    @property
    def judged(self) -> Tensor:
        """Where the policy is rewarded: after the prompt, up to the end."""
        return (self._following >= self.prompts) & (self._following < self.lengths)

    @property
    def chosen(self) -> Tensor:
        """Where the policy chooses the next key: the same places without the end."""
        return self.judged & (self._following < self.lengths - 1)

    @property
    def from_second(self) -> Tensor:
        """Every place from the second key on, prompt or not, up to the end."""
        return (self._following >= 2) & (self._following < self.lengths)

    @property
    def _following(self) -> Tensor:
        return torch.arange(1, self.ids.shape[1], device=self.ids.device)[None]


@dataclass(frozen=True)
class Rollout:
    """What the policy made of episodes that count by `weights` (rows,).

    At every place: the token that it was `shown`, observed or its own, the log-probability of the next one `before` any
    update, and the reward.
    """

    episodes: Episodes
    weights: Tensor
    shown: Tensor
    before: Tensor
    rewards: Tensor


class Policy(nn.Module):
    """A causal language model of Transformers, and its mean reward after every episode, which checkpoints then hold."""

    mean_rewards: Tensor  # (episodes + 1,), NaN where none was measured yet

    def __init__(self, model: PreTrainedModel, episodes: int) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean_rewards", torch.full((episodes + 1,), torch.nan, device=model.device))

    def forward(self, shown: Tensor) -> Tensor:
        """Return logits (rows, places, tokens); rows padded on the right need no mask."""
        return self.model(input_ids=shown, use_cache=False).logits

    @torch.no_grad()
    def generate(self, episodes: Episodes, chance: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return the prompts with sampled keys after them (rows, places), and the logits at all places.

        The rows go on together, one place at a time, each with observed tokens as long as its own prompt lasts; so
        prompts of any lengths are read without padding.
        """
        shown, chosen = episodes.ids[:, :-1].clone(), episodes.chosen
        logits, cache, begin = [], None, 0
        first = int(chosen.any(0).int().argmax()) if chosen.any() else chosen.shape[1] - 1
        for place in range(first, chosen.shape[1]):
            out = self.model(input_ids=shown[:, begin : place + 1], past_key_values=cache, use_cache=True)
            cache, begin = out.past_key_values, place + 1
            logits.append(out.logits)
            if begin < chosen.shape[1]:
                chances = torch.softmax(out.logits[:, -1, FIRST_KEY:].float(), dim=-1)
                keys = torch.multinomial(chances, 1, generator=chance)[:, 0] + FIRST_KEY
                shown[:, begin] = torch.where(chosen[:, place], keys, shown[:, begin])
        return shown, torch.cat(logits, dim=1)


def key_choices(logits: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities (rows, places, V) of the keys, and (rows, places) of the next one; the last has none."""
    keys = torch.log_softmax(logits[..., FIRST_KEY:].float(), dim=-1)
    following = torch.cat([shown[:, 1:], shown[:, -1:]], dim=1)
    return keys, keys.gather(-1, (following - FIRST_KEY).clamp(min=0)[..., None])[..., 0]


def top_k_rewards(log_probabilities: Tensor, columns: Tensor, top: int) -> Tensor:
    """Return 1 where the true choice is among the `top` likeliest of (rows, places, V + 1), else -1.

    A key never seen (`columns` negative) is always a miss. Ties count against the model, as in `judging.judge_events`.
    """
    true = log_probabilities.gather(-1, columns.clamp(min=0)[..., None])
    ranks = (log_probabilities >= true).sum(-1)
    return torch.where((ranks <= top) & (columns >= 0), 1.0, -1.0)


def rewards_that_follow(rewards: Tensor, judged: Tensor, discount: float) -> Tensor:
    """Return, for each place, the discounted sum of the rewards at the judged places after it, the next one whole.

    Not its own: whether the true key is among the likeliest depends on what came before, not on what is chosen there.
    """
    earned, total = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    for place in reversed(range(rewards.shape[1])):
        earned[:, place] = total
        total = rewards[:, place] * judged[:, place] + discount * total
    return earned


def advantages(earned: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """Return `earned` less its mean, 0 where nothing was chosen.

    The mean is that of the batch, rows counted by `weights` (rows,), over the places with as many choices left: a sum
    over more rewards is larger, whatever was chosen.
    """
    left = chosen.int().flip(1).cumsum(1).flip(1)
    shares = (weights[:, None] * chosen).flatten()
    sums = torch.zeros(2, left.shape[1] + 1, device=earned.device)
    sums.index_add_(1, left.flatten(), torch.stack([shares, shares * earned.flatten()]))
    means = sums[1] / sums[0].clamp(min=torch.finfo(sums.dtype).tiny)
    return torch.where(chosen, earned - means[left], 0.0)


def clipped_loss(log_probabilities: Tensor, before: Tensor, advantage: Tensor, epsilon: float) -> Tensor:
    """Return PPO's clipped surrogate, negated (Schulman et al. 2017, equation 7), one value a choice.

    `log_probabilities` of what was chosen, now and `before`, when it was chosen.
    """
    ratio = (log_probabilities - before).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - epsilon, 1 + epsilon) * advantage)


def entropy(log_probabilities: Tensor) -> Tensor:
    """Return entropy in nats over the last dimension."""
    return -(log_probabilities.exp() * log_probabilities).sum(-1)


def likelihood_times_reward(true_log_probabilities: Tensor, rewards: Tensor, judged: Tensor) -> Tensor:
    """Return what LogGPT's released code minimizes, one value a row: the likelihood of the true keys times all rewards.

    No policy gradient: its sign turns where misses outnumber hits, and the true keys are then made less likely.
    """
    return -(true_log_probabilities * judged).sum(1) * (rewards * judged).sum(1)
