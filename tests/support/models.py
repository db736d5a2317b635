"""Tiny untrained networks, saved as models."""

import torch

from rm_geo.networks import build
from rm_geo.zoo.weights import save_model

TINY = {"f_widths": [8, 8], "f_depths": [1, 1], "g_widths": [8, 8], "g_depths": [1, 1]}
"""Configuration of a radiocycle-drive network that computes in milliseconds."""


def save_tiny_model(path, seed):
    """Save a tiny network with random weights."""
    torch.manual_seed(seed)
    save_model(path, build("radiocycle-drive", TINY), "radiocycle-drive", TINY)
