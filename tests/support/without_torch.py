"""Processes that do not find PyTorch, as if it were not installed."""

import os

SITECUSTOMIZE = """
import sys
from importlib.machinery import PathFinder


class WithoutTorch(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchmetrics", "onnxscript"}:
            return None
        return super().find_spec(name, path, target)


sys.meta_path[:] = [WithoutTorch if finder is PathFinder else finder for finder in sys.meta_path]
"""


def environment_without_torch(folder):
    """Environment variables of a process, and its children, that do not find PyTorch."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    inherited = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), *([inherited] if inherited else [])]),
    }
