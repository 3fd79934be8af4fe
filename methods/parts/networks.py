"""What the detectors that are one small network share: settings, the training loop, the way to disk."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from core.data import Labeled
from core.keys import KeyNumbers, Sequences
from methods.parts import disk
from methods.parts.learning import DEVICE, Batch, learn
from methods.parts.threads import one_thread


class NetworkDetector:
    """A detector with one network; a subclass names it, makes the network, and says how it learns and scores."""

    method: str
    name: str
    reads, learns = "keys", "normals"
    settings_type: type
    settings: Any  # of `settings_type`; read here: learning_rate, max_epochs, patience
    on_one_thread = False  # the training, where that is faster
    keys: KeyNumbers
    network: nn.Module

    def __init__(
        self, seed: int = 0, *, settings: Any = None, templates: Mapping[str, str | None] | None = None
    ) -> None:
        """`templates` is what every detector is offered; most of these read keys alone."""
        self.seed, self.settings = seed, settings or self.settings_type()

    def make_network(self) -> nn.Module:
        """Return the untrained network for `keys` and `settings`."""
        raise NotImplementedError

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        return asdict(self.settings)

    @property
    def parameters(self) -> int:
        """Return how many weights are learned."""
        return sum(weights.numel() for weights in self.network.parameters() if weights.requires_grad)

    # ------------------------------------------------------------------------------------------------------ learning

    def _begin(self, train_sequences: Sequences) -> None:
        """Number the keys of the training split and make the network for them, the same for the same seed."""
        torch.manual_seed(self.seed)
        self.keys = KeyNumbers.of(train_sequences)
        self.network = self.make_network().to(DEVICE)

    def _learn(
        self,
        batches: Callable[[], Iterable[Batch]],
        loss: Callable[[Batch], Tensor],
        validate: Callable[[], float],
        checkpoints: Path,
    ) -> pl.DataFrame:
        first, last = self.keys.keys[0], self.keys.keys[-1]
        with one_thread(self.on_one_thread):
            return learn(
                self.network,
                batches,
                loss,
                validate,
                learning_rate=self.settings.learning_rate,
                max_epochs=self.settings.max_epochs,
                patience=self.settings.patience,
                seed=self.seed,
                checkpoints=checkpoints,
                belongs_to=f"{self._title} with {len(self.keys)} keys, {first} to {last}",
            )

    @property
    def _title(self) -> str:
        """Return what a checkpoint says it is of."""
        return self.method

    # ---------------------------------------------------------------------------------------------------------- disk

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), keys and settings, all or nothing."""
        disk.save(folder, self._about(), self.keys, arrays_of(self.network))

    def _about(self) -> dict:
        return {"method": self.method, "seed": self.seed, "settings": asdict(self.settings)}

    @classmethod
    def load(cls, folder: Path, train: Sequences | Labeled | None = None) -> Self:
        """Return a saved detector; raise BadInput as `disk.load` does."""
        about, keys, weights = disk.load(folder, cls.method, train)
        settings: Any = disk.settings_of(about, cls.settings_type, Path(folder))
        with disk.fitting(folder):
            detector = cls(about["seed"], settings=settings)
            detector.keys = keys
            detector._restore(detector.make_network(), weights)
        return detector

    def _restore(self, network: nn.Module, weights: dict[str, np.ndarray]) -> None:
        self.network = network.to(DEVICE)
        self.network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})


def arrays_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Return the weights of a network, by name, as they are kept."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
