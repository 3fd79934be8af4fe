"""What rates new templates beside known ones, by the name of an encoder: a command knows it without loading torch."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from core.new_keys import WORD_LIST


@dataclass(frozen=True)
class TemplateReader:
    """An encoder of this name or folder, None for a list of fault words (newcomers.py)."""

    encoder: str | None = None

    @property
    def identity(self) -> dict[str, str]:
        """Return the name of what reads, as tables have it, and of a local folder the hash of its files."""
        if not self.encoder:
            return {"encoder": WORD_LIST}
        from methods.words.encoders import encoder_identity

        return encoder_identity(self.encoder)

    def check(self) -> None:
        """Raise BadInput if the encoder cannot be loaded."""
        if self.encoder:
            from methods.words.newcomers import parts_of

            parts_of(self.encoder)

    def __call__(self, known: Mapping[str, str], new: Mapping[str, str]) -> pl.DataFrame:
        """Return the fault scores of `newcomers.rate`; raise BadInput if the encoder cannot be loaded."""
        from methods.words.newcomers import parts_of, rate

        return rate(*parts_of(self.encoder), known, new)
