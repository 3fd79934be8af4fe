"""The framework's method: a causal language model learns the normal next log key.

Reis, Areias and Barbosa, "Large Language Model Framework for Log Sequence Anomaly Detection" (EPIA 2025). Implemented
here: word-level keys, next-key training on normal sequences with LoRA, the rank of every true key. Different on
purpose: the vocabulary comes from the training split alone, keys begin from the meaning of their templates, long
sequences are chunked and never cut, the best epoch is kept, and one function scores validation and test.
"""

from methods.next_key.models import machine  # before transformers: Unsloth must be imported first

# isort: split

from methods.next_key.detector import NextKey

__all__ = ["NextKey", "machine"]
