"""Helpers independent of radio maps: files, locks, memory, arrays, progress output."""
