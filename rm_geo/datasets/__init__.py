"""Training and evaluation data: RadioMapSeer, simulated scenes, sampled measurements."""
