"""Judging maps on held-out measurements."""
