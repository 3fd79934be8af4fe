"""Templates that training never saw, as methods/words rates them, runs keeps them and evaluation decides on them."""

import polars as pl

WORD_LIST = "fault words"  # what reads templates where no encoder is given
FAULTS: dict[str, type[pl.DataType]] = {
    "key": pl.String,
    "template": pl.String,
    "is_known": pl.Boolean,  # one of training, rated as if it were new
    "fault_score": pl.Float64,  # higher for what reads more like a fault
    "nearest_key": pl.String,  # among the known ones, as the two below
    "nearest_template": pl.String,
    "similarity": pl.Float64,
}
