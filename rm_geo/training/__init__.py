"""Training of the networks: data, losses, the training loop and its checkpoints."""
