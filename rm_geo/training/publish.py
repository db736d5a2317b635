"""Command that writes a model folder from a training.

See ``python -m rm_geo.training.publish --help``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from rm_geo.errors import DependencyError, InputError, RmGeoError, UsageError
from rm_geo.training.card import CardText, publish
from rm_geo.training.card_options import card_options
from rm_geo.training.default_keys import NetworkShape, read_shape, require_suited
from rm_geo.training.initialization import CONFIG_NAME
from rm_geo.zoo.catalog import find_model, read_index
from rm_geo.zoo.kinds import GRAPH_KINDS
from rm_geo.zoo.model_file import CARD_NAME
from rm_geo.zoo.onnx_graph import write_graphs
from rm_geo.zoo.weights import write_index


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("name")
@click.option("--models", type=click.Path(path_type=Path, file_okay=False), default=Path("models"))
@click.option("--size", default="s", help="Size class, s or full.")
@click.option("--summary", required=True, help="One line about the model.")
@click.option("--data", required=True, help="Description of the training data.")
@click.option("--device", required=True, help="Description of the training machine.")
@click.option("--limit", "limits", multiple=True, help="Known limit of the model; repeatable.")
@card_options
@click.option(
    "--default",
    "defaults",
    multiple=True,
    metavar="KEY=NAME",
    help="Default model for a key, such as mars-4=NAME; repeatable.",
)
def main(
    run: Path,
    name: str,
    models: Path,
    size: str,
    summary: str,
    data: str,
    device: str,
    limits: tuple[str, ...],
    scores: tuple[tuple[str, Path], ...],
    pictures: tuple[tuple[str, Path], ...],
    defaults: tuple[str, ...],
) -> None:
    """Write the model NAME from the training in the folder RUN."""
    try:
        # Check all options before anything is written.
        tables = {title: _read_table(path) for title, path in scores}
        shape = read_shape(run / CONFIG_NAME)
        chosen = chosen_defaults(defaults, models, name, shape)
        text = CardText(
            summary=summary,
            data=data,
            limits=limits,
            device=device,
            scores=tables,
            pictures=dict(pictures),
        )
        known = read_index(models).get("default", {})
        checksum = publish(run, models / name, size, text)
        record = find_model(models / name)
        if record.kind in GRAPH_KINDS:
            try:
                write_graphs(record)
            except DependencyError as error:
                click.echo(f"No graph for ONNX Runtime was written: {error}", err=True)
        write_index(models, {**known, **chosen})
    except RmGeoError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"{models / name}: sha256 {checksum}")


def chosen_defaults(
    texts: Sequence[str], models: Path, name: str, shape: NetworkShape
) -> Mapping[str, str]:
    """Parse ``KEY=NAME`` options and check them against the models.

    Parameters
    ----------
    texts : sequence of str
        Values of the options.
    models : Path
        Folder of the models.
    name : str
        Name of the new model.
    shape : NetworkShape
        Network of the new model.

    Returns
    -------
    mapping of str to str
        Model name by key.

    Raises
    ------
    UsageError
        If a text is of another form, or the model is missing or does not match the key.
    """
    if Path(name).name != name or name == ".." or Path(name).suffix == ".safetensors":
        raise UsageError(
            f"{name!r} is not a valid model name.",
            hint="Name a folder without its parents; --models sets the parent folder.",
        )
    cards = {path.parent.name: path for path in sorted(models.glob(f"*/{CARD_NAME}"))}
    chosen = {}
    for text in texts:
        key, sign, wanted = (part.strip() for part in text.partition("="))
        if not sign or not key or not wanted:
            raise UsageError(
                f"--default {text!r} is not KEY=NAME.", hint=f"Set for example radiocycle={name}."
            )
        if wanted != name and wanted not in cards:
            raise UsageError(
                f"--default {text!r}: there is no model {wanted!r} in {models}.",
                hint=f"Models: {', '.join(sorted({*cards, name}))}.",
            )
        require_suited(key, wanted, shape if wanted == name else read_shape(cards[wanted]))
        chosen[key] = wanted
    return chosen


def _read_table(path: Path) -> str:
    """Read a table of scores in Markdown."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The table of scores {path} cannot be read: {error}.",
            hint="Name a Markdown file in UTF-8.",
        ) from error


if __name__ == "__main__":
    main()
