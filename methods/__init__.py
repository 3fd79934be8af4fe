"""Detectors, one a file or a small folder: fit(train, validation), score(sequences), save(folder), load(folder).

A method gives ranks, probabilities or scores, higher or rarer meaning more abnormal, and never a decision.
"""
