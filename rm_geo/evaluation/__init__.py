"""Metrics, the evaluation protocols of the papers, hold-outs on measurements."""
