"""Helpers that know nothing of radio maps: files, locks, memory, arrays."""
