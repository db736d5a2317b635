"""Settings written as ``KEY=VALUE``."""

from __future__ import annotations

from rm_geo._util.yaml_text import parse_yaml


def parse_key_value(setting: str) -> tuple[str, object]:
    """Split ``KEY=VALUE``; the value is read as YAML, so that numbers are numbers.

    Parameters
    ----------
    setting : str
        Text with an equals sign.

    Returns
    -------
    key : str
        The text before the sign, stripped.
    value : object
        A number, boolean, list or mapping where YAML reads one, else text.

    Raises
    ------
    ValueError
        If there is no ``=`` or nothing before it.

    Examples
    --------
    >>> parse_key_value("neighbours=12")
    ('neighbours', 12)
    >>> parse_key_value("rate=5e-4")
    ('rate', 0.0005)
    """
    key, sign, text = setting.partition("=")
    if not sign or not key.strip():
        raise ValueError(f"{setting!r} is not KEY=VALUE.")
    try:
        value: object = parse_yaml(text)
    except ValueError:
        value = text
    if isinstance(value, str):
        try:
            value = float(value)  # YAML 1.1 takes 5e-4 for text
        except ValueError:
            return key.strip(), value
    return key.strip(), value
