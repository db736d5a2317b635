"""Contents of output folders, for byte-by-byte comparison."""

from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def map_contents(folder: Path) -> dict[str, bytes]:
    """Read the rasters, previews and summaries below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in {".tif", ".png"} or path.name.startswith("summary")
    }
