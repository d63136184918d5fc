"""Protocols, runs and reports; the baselines that a model is measured against."""
