"""Transmitter sites: tables, channel numbers, localization and selection."""
