"""Measurements of the product beside other designs. ``python -m benchmarks --help``."""
