"""The years of times that name none, such as syslog's: a log that goes on in January after December is a year older."""

import numpy as np
import polars as pl

MICROSECONDS_OF_A_DAY = 86_400_000_000
LATE = 360 * MICROSECONDS_OF_A_DAY  # forward from January by more than this is a late line of the old year


class Years:
    """Counts the turns of the year from the order of the lines, a block at a time."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._turns = 0  # since the begin, minus the late lines that went back
        self._least = 0  # a log may also begin with a late line: it does not go back before the first year

    def add(self, times: pl.Series) -> pl.Series:
        """Return the next times (microseconds in one year) with the years that have passed since the first line.

        A 29 February that comes after a turn of the year becomes the 28th: which of the years is longer, no line says.
        """
        if not len(times):
            return times
        before = times.shift(1, fill_value=times[0] if self._last is None else self._last)
        self._last = times[-1]
        month, month_before = (values.cast(pl.Datetime("us")).dt.month().to_numpy() for values in (times, before))
        turned = (month_before == 12) & (month == 1)
        late = (month_before == 1) & (month == 12) & ((times - before).to_numpy() > LATE)
        if not (turned.any() or late.any() or self._turns > self._least):
            return times
        turns = self._turns + np.cumsum(turned.astype(np.int64) - late)
        least = np.minimum.accumulate(np.minimum(turns, self._least))
        self._turns, self._least = int(turns[-1]), int(least[-1])
        moved = pl.select(time=times.cast(pl.Datetime("us")), years=pl.Series(turns - least))
        years = pl.format("{}y", "years")
        return moved.select(pl.col("time").dt.offset_by(years).cast(pl.Int64))["time"]
