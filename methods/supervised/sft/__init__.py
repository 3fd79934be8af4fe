"""Supervised fine-tuning: a transformer with a head of two classes reads a text and says whether it is anomalous.

LLM_AD (Jin et al., "Large Language Models for Anomaly Detection in Computational Workflows: from Supervised Fine-Tuning
to In-Context Learning", SC 2024), from the description and not from their code, which has no license. A text is the
sentence of a job, or the templates of a log sequence joined. What the recipe `published` keeps is in recipes.py.
"""

from methods.supervised.sft.detector import SFT
from methods.supervised.sft.recipes import RECIPES, Settings

__all__ = ["RECIPES", "SFT", "Settings"]
