"""Options with several words in them, split into what they mean."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rm_geo.errors import UsageError


def key_pairs(models: Sequence[str]) -> dict[str, str]:
    """Split KEY=NAME|FILE options."""
    pairs = {}
    for text in models:
        key, sign, value = text.partition("=")
        if not sign or not key or not value:
            raise click.BadParameter(f"{text!r} is not KEY=NAME|FILE.", param_hint="--model")
        pairs[key.strip()] = value
    return pairs


def optional_names(text: str | None) -> list[str] | None:
    """Split names at commas; None where there is no text."""
    return None if text is None else split_names(text)


def split_names(text: str) -> list[str]:
    """Split names at commas, each once."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"{text!r} names nothing.", hint="Write names with commas between them.")
    return list(dict.fromkeys(names))


def split_shares(text: str, option: str) -> list[float]:
    """Split shares at commas; none where the text is empty."""
    try:
        shares = [float(piece) for piece in text.split(",") if piece.strip()]
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no list of shares such as 0.05,0.2.", param_hint=option
        ) from error
    return shares
