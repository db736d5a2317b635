"""Make a model of a finished training: ``python -m rm_geo.training.publish --help``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rm_geo.errors import DependencyError, RmGeoError
from rm_geo.estimators.radiocycle import FIELD_KIND
from rm_geo.onnx_graph import write_graph
from rm_geo.training.card import CardText, publish
from rm_geo.weights import write_index
from rm_geo.zoo import find_model, read_index


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("name")
@click.option("--models", type=click.Path(path_type=Path), default=Path("models"))
@click.option("--size", default="s", help="Size class, s or full.")
@click.option("--summary", required=True, help="One line about the model.")
@click.option("--data", required=True, help="What it was trained on.")
@click.option("--device", required=True, help="What it was trained with, in words.")
@click.option("--limit", "limits", multiple=True, help="What it is not good at; repeatable.")
@click.option(
    "--scores",
    type=(str, click.Path(path_type=Path, exists=True)),
    multiple=True,
    help="Title and Markdown file of a table of scores; repeatable.",
)
@click.option("--default", "defaults", multiple=True, metavar="METHOD=NAME", help="Default models.")
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
    defaults: tuple[str, ...],
) -> None:
    """Make the model NAME of the training in RUN."""
    tables = {title: path.read_text("utf-8") for title, path in scores}
    text = CardText(summary=summary, data=data, limits=limits, device=device, scores=tables)
    try:
        checksum = publish(run, models / name, size, text)
        record = find_model(models / name)
        if record.kind == FIELD_KIND:
            try:
                for told in (False, True):
                    write_graph(record, told=told)
            except DependencyError as error:
                click.echo(f"Without a network for ONNX Runtime: {error}", err=True)
        known = read_index(models).get("default", {})
        write_index(models, {**known, **dict(item.split("=", 1) for item in defaults)})
    except RmGeoError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"{models / name}: sha256 {checksum}")


if __name__ == "__main__":
    main()
