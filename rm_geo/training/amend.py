"""Add tables of scores and pictures to the card of a model that is already published.

``python -m rm_geo.training.amend MODEL --scores TITLE TABLE.md --picture TITLE FILE.png``
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from rm_geo._util.atomic import replacing
from rm_geo.errors import InputError, RmGeoError
from rm_geo.training.card_options import card_options


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@card_options
def main(
    folder: Path, scores: tuple[tuple[str, Path], ...], pictures: tuple[tuple[str, Path], ...]
) -> None:
    """Add tables and pictures to the card in FOLDER, in place of those of the same title."""
    try:
        amend_card(folder, dict(scores), dict(pictures))
    except RmGeoError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)


def amend_card(folder: Path, scores: Mapping[str, Path], pictures: Mapping[str, Path]) -> None:
    """Add tables of scores and pictures to a card.

    Parameters
    ----------
    folder : Path
        Model folder with ``card.md``.
    scores : mapping of str to Path
        Markdown files by title, which go in front of the section of limits.
    pictures : mapping of str to Path
        PNG files by title, which are copied to the folder.

    Raises
    ------
    InputError
        If the folder has no card, or a table cannot be read.
    """
    card = folder / "card.md"
    try:
        text = card.read_text("utf-8")
        tables = {title: path.read_text("utf-8").strip() for title, path in scores.items()}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The card {card}, or a table for it, cannot be read ({error}).",
            hint="Name a folder of a published model and Markdown files.",
            path=card,
        ) from error
    for title, table in tables.items():
        text = _without(text, f"### {title}")
        head, limits, rest = text.partition("## Limits\n")
        text = f"{head}### {title}\n\n{table}\n\n{limits}{rest}"
    for title, picture in pictures.items():
        text = _without(text, f"## {title}")
        used = {int(number) for number in re.findall(r"picture-(\d+)\.png", text)}
        name = f"picture-{next(n for n in range(1, len(used) + 2) if n not in used)}.png"
        with replacing(folder / name) as part:
            shutil.copyfile(picture, part)
        text = f"{text.rstrip()}\n\n## {title}\n\n![{title}]({name})\n"
    with replacing(card) as part:
        part.write_text(text, "utf-8")


def _without(text: str, heading: str) -> str:
    """Remove a section, up to the next heading."""
    kept, is_inside = [], False
    for line in text.splitlines():
        is_inside = line == heading or (is_inside and not line.startswith("#"))
        if not is_inside:
            kept.append(line)
    return "\n".join(kept) + "\n"


if __name__ == "__main__":
    main()
