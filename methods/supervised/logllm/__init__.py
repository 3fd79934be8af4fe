"""LogLLM: an encoder reads each message, a projector turns it into one position of a language model, which answers.

Guan et al. 2024 (arXiv 2411.08561), from the description and not from their code, which has no license. What differs
from what they published, and what the recipe `paper` keeps, is in recipes.py.
"""

from methods.supervised.logllm.detector import LogLLM
from methods.supervised.logllm.recipes import RECIPES, Prompt, Settings, Stage

__all__ = ["RECIPES", "LogLLM", "Prompt", "Settings", "Stage"]
