"""Names that a source imports from modules of QGIS or Qt, and whether they exist."""

from __future__ import annotations

import ast


def missing_names(text, owners_of):
    """Give the dotted names of a source that do not exist.

    ``owners_of(module)`` gives the modules in which the names of an import are searched, none for
    modules that are not meant. Names end at the first method or member of an enumeration: what
    follows belongs to its value.
    """
    tree = ast.parse(text)
    known, missing = {}, []
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.level:
            continue
        owners = owners_of(node.module)
        for alias in node.names if owners else ():
            owner = next((one for one in owners if hasattr(one, alias.name)), None)
            if owner is None:
                missing.append(alias.name)
            else:
                known[alias.asname or alias.name] = getattr(owner, alias.name)
    for first, *parts in _dotted(tree):
        found, name = known.get(first), first
        for part in parts:
            if not isinstance(found, type):
                break
            name = f"{name}.{part}"
            found = getattr(found, part, None)
            if found is None:
                missing.append(name)
    return missing


def _dotted(tree):
    """Yield the dotted names of a source as lists of their parts."""
    for node in ast.walk(tree):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name):
            yield [node.id, *parts]
