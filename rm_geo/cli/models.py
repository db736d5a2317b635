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

    records = list_models()
    lines = [f"{r.name:<20} {r.kind:<18} {r.size:<6} {r.summary}".rstrip() for r in records]
    text = "\n".join(lines) or f"No models in {models_root()}."
    console.result({"models": [_as_dict(record) for record in records]}, text)


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
        "sha256": record.sha256,
    }
