"""SurgRec: a corpus curated and balanced, and video encoders pretrained on it without labels."""
