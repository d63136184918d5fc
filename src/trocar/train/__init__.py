"""Training with labels: recipes, clips, augmentation, simulated prompts, losses, the loop, checkpoints, evaluation."""
