"""From stored scores to verdicts, figures and tables. Knows nothing of torch, of models or of how a score was made."""
