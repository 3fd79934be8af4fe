"""How the published code of four rivals judges test sessions, written plainly in our own words, for comparison.

`judge_window_by_window`: DeepLog as in wuyifan18/DeepLog (1e33b57, LogKeyModel_predict.py), and LogAnomaly as in
d0ng1ee/logdeep (4c42beb, logdeep/tools/predict.py), the same loop. Both leave a session at its first miss.
`judge_windows_of_session`: both as in HelenGuohx/logbert (e355d04, logdeep/tools/predict.py), which reads the windows
of a session in batches and judges them all.
`judge_masked_keys`: LogBERT as in HelenGuohx/logbert (e355d04, bert_pytorch/predict_log.py).
`judge_whole_session`: LogGPT as in nokia/LogGPT (950b4aa, model/initGPT.py, `_predict_topk`).

Each is given one of our trained networks, in evaluation mode, and returns how many true keys of each session are not
among the K likeliest. Preparing the sessions, as windows, masked batches or token ids, is not in its times, nor is what
the published code prints or keeps. Candidates are looked up in a list, as in LogGPT; the others look in a tensor, which
takes longer.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.keys import UNSEEN, KeyNumbers, make_windows
from methods.logbert import DIST, END, MASK, PAD, SPECIAL
from methods.next_key.vocabulary import FIRST_CHOICE
from methods.parts.learning import DEVICE

SKIPPED = 10  # DeepLog, LogAnomaly: the first keys of a session, read as a window and never judged
WINDOWS_AT_ONCE = 128
SESSIONS_AT_ONCE = 32

Event = tuple[list[int], int]  # a window and the key that followed, UNSEEN if training never saw it
Masked = tuple[Tensor, Tensor]  # token ids, and the true key where one is masked, else -1; both (sessions, longest)


def every_event(keys: KeyNumbers, sequence: Sequence[str], history: int) -> list[Event]:
    """Return what our detectors judge of a session: every key, and the end."""
    windows = make_windows(keys, [sequence], history)
    return list(zip(windows.histories.tolist(), windows.targets.tolist(), strict=True))


def published_events(events: list[Event]) -> list[Event]:
    """Return what the published code judges of them: no end, and nothing of the first SKIPPED keys.

    It fills short sessions up with a key that never occurs, so one of at most SKIPPED keys has a single event, a miss.
    """
    return events[SKIPPED:-1] or [(events[-1][0], UNSEEN)]


@torch.no_grad()
def judge_window_by_window(network: nn.Module, sessions: list[list[Event]], k: int, stop: bool) -> list[int]:
    """Return misses of each session, windows read one at a time; with `stop` a session is left at its first one."""
    misses = []
    for session in sessions:
        missed = 0
        for window, target in session:
            logits = network(torch.tensor([window], device=DEVICE))
            if target not in torch.argsort(logits, dim=1)[0, -k:].tolist():
                missed += 1
                if stop:
                    break
        misses.append(missed)
    return misses


@torch.no_grad()
def judge_windows_of_session(network: nn.Module, sessions: list[list[Event]], k: int) -> list[int]:
    """Return misses of each session, whose windows are read together."""
    misses = []
    for session in sessions:
        missed = 0
        for start in range(0, len(session), WINDOWS_AT_ONCE):
            windows, targets = zip(*session[start : start + WINDOWS_AT_ONCE], strict=True)
            logits = network(torch.tensor(windows, device=DEVICE))
            for row, target in enumerate(targets):
                if target not in torch.argsort(logits[row])[-k:].tolist():
                    missed += 1
        misses.append(missed)
    return misses


def mask_at_random(sequences: Sequence[Sequence[str]], share: float, seed: int) -> list[np.ndarray]:
    """Return which keys are masked, each with the chance `share`, as the published code does at test, too."""
    chance = np.random.default_rng(seed)
    return [chance.random(len(sequence)) < share for sequence in sequences]


def mask_batches(keys: KeyNumbers, sequences: Sequence[Sequence[str]], masks: list[np.ndarray]) -> list[Masked]:
    """Return batches in the order given, of keys masked where `masks` say so."""
    batches = []
    for start in range(0, len(sequences), SESSIONS_AT_ONCE):
        numbers = [keys.encode(sequence) for sequence in sequences[start : start + SESSIONS_AT_ONCE]]
        ids = torch.full((len(numbers), max(map(len, numbers)) + 2), PAD)
        labels = torch.full_like(ids, -1)
        for row, own in enumerate(numbers):
            masked = masks[start + row]
            shown = np.where(masked | (own == UNSEEN), MASK, own + SPECIAL)
            ids[row, : len(own) + 2] = torch.tensor([DIST, *shown, END])
            # an unseen key is a word that is no candidate
            labels[row, 1 : len(own) + 1] = torch.from_numpy(np.where(masked, np.where(own < 0, len(keys), own), -1))
        batches.append((ids.to(DEVICE), labels.to(DEVICE)))
    return batches


@torch.no_grad()
def judge_masked_keys(network: nn.Module, batches: list[Masked], k: int) -> list[int]:
    """Return misses of each session among its masked keys; distances from the center are taken and thrown away."""
    misses = []
    for ids, labels in batches:
        hidden = network(ids)
        logits = network.output(hidden)
        for row in range(len(ids)):
            masked = labels[row] >= 0
            missed = 0
            for candidates, target in zip(logits[row][masked], labels[row][masked].tolist(), strict=True):
                if target not in torch.argsort(-candidates)[:k].tolist():
                    missed += 1
            torch.sqrt(torch.sum((hidden[row, 0] - network.center) ** 2)).item()
            misses.append(missed)
    return misses


@torch.no_grad()
def judge_whole_session(model: PreTrainedModel, sessions: list[list[int]], k: int) -> list[int]:
    """Return misses of each session of token ids `begin, keys, end`: one pass each, the first key not judged."""
    misses = []
    for ids in sessions:
        logits = model(torch.tensor([ids], device=model.device)).logits[0, 1:-1, FIRST_CHOICE:]
        likeliest = torch.softmax(logits, dim=-1).topk(k).indices.tolist()
        misses.append(sum(t - FIRST_CHOICE not in row for t, row in zip(ids[2:], likeliest, strict=True)))
    return misses
