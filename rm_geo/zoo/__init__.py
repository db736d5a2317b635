"""Trained models: catalog, weights, and ONNX graphs."""
