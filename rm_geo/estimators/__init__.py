"""Estimators: networks and classical methods behind one protocol."""
