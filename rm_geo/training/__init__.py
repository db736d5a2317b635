"""Training: losses, dynamic weight averaging, the loop and its checkpoints."""
