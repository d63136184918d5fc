"""Clip classification: SurgRec's downstream tasks, probes on video encoders, and the vision-language baseline."""
