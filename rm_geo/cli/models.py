"""``rm-geo models``: list, show and verify trained models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rm_geo.cli.options import console_options

if TYPE_CHECKING:
    from rm_geo._util.console import Console
    from rm_geo.zoo.catalog import ModelRecord


@click.group()
def models() -> None:
    """List, show and verify trained models."""


@models.command("list")
@console_options
def list_command(console: Console) -> None:
    """List the models that come with this installation."""
    from rm_geo.zoo.catalog import list_models, models_root

    records, absent = list_models(), list_models(installed=False)
    width = max((len(record.name) for record in records), default=0)
    lines = [f"{r.name:<{width}}  {r.kind:<17} {r.size:<5} {r.summary}".rstrip() for r in records]
    if not records:
        lines = [f"No models in {models_root()}."]
    for package in dict.fromkeys(record.package for record in absent):
        number = sum(record.package == package for record in absent)
        lines.append(f"{number} more, for the papers' tables: pip install {package}")
    values = {"models": [_as_dict(r) for r in records], "absent": [_as_dict(r) for r in absent]}
    console.result(values, "\n".join(lines))


@models.command("show")
@click.argument("name")
@console_options
def show_command(name: str, console: Console) -> None:
    """Show the card of a model: data, recipe, scores, licence."""
    from rm_geo.zoo.catalog import find_model

    record = find_model(name)
    card_path = record.path.parent / "card.md"
    lines = [
        f"{key}: {value}" for key, value in _as_dict(record).items() if value not in ("", None)
    ]
    if card_path.is_file():
        lines += ["", card_path.read_text("utf-8").rstrip()]
    console.result(_as_dict(record) | {"card": dict(record.card)}, "\n".join(lines))


@models.command("verify")
@click.argument("names", nargs=-1)
@console_options
def verify_command(names: tuple[str, ...], console: Console) -> None:
    """Check that models are whole; all that are installed, or those NAMED."""
    from rm_geo.errors import ModelError
    from rm_geo.zoo.catalog import find_model, list_models, verify_model

    records = [find_model(name) for name in names] if names else list_models()
    problems: list[ModelError] = []
    lines = []
    for record in records:
        try:
            lines.append(f"{record.name}: whole, sha256 {verify_model(record)}")
        except ModelError as error:
            problems.append(error)
            lines.append(f"{record.name}: {error.message}")
    checked = {"verified": len(records) - len(problems), "damaged": len(problems)}
    console.result(checked, "\n".join(lines) or "No models to verify.")
    if problems:
        raise problems[0]


def _as_dict(record: ModelRecord) -> dict[str, object]:
    """Describe a model."""
    return {
        "name": record.name,
        "kind": record.kind,
        "size": record.size,
        "scale": record.scale,
        "architecture": record.architecture,
        "summary": record.summary,
        "file": str(record.path),
        "package": record.package,
        "sha256": record.sha256,
    }
