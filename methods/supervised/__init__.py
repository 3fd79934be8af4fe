"""Detectors that learn from labeled anomalies, and the simple ones that stand beside them in every table."""
