"""Detectors, one a file or a small folder; `parts/` holds what several are built of.

The contract of a detector:

- `method` and `name`: the file it is in and which of its models it is; the two name the run folder.
- `reads`: "keys", or "text" if its sequences are to hold the words of each event (its template) in place of its key, or
  "jobs" if a sequence is to be a `Worker` (core/jobs.py), with what was measured of each job.
- `learns`: "normals", or "labels" if it is to see labeled anomalies, too.
- `describe()`: its settings, a flat dict that JSON can hold.
- `fit(train, validation, checkpoints)`: learns sequences, all normal; one that learns from labels gets `Labeled`
  sequences with their labels (core/data.py). Goes on from `checkpoints` after an interruption; returns a frame with the
  column `seconds`, one row an epoch.
- `parameters`: how many numbers it has learned.
- `score(sequences)`: a frame, one row a sequence, in order. Either `rank` (of the least expected key, 1 = likeliest)
  and `tail_probability` (smallest), or `score` (higher is more abnormal), or all three. One that learns from labels
  gives `score` and, equal to it or not, `log_odds`: above 0 where anomalous is the likelier class. `has_unseen_key`
  says where a key stands that the detector knows nothing of; without it, where one stands that training never saw.
- `looks_ahead`: true of a detector whose judgment of an event depends on later ones; without it, one that gives scores
  of events is asked about a live log in the middle of a sequence.
- `save(folder)` and `load(folder, train=None)`: the same scores after loading; `train` is what `fit` was given, to
  refuse a model of other data.

Never a decision: those are the rules of evaluation/, calibrated on validation normals. docs/add-a-method.md has a
whole example.
"""
