"""Trained models that the tables of the papers need; rm_geo lists them and checks their sums."""
