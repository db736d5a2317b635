"""All planning products, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from rm_geo.errors import UsageError
from rm_geo.planning import (
    best_server,
    coverage,
    holes,
    interference,
    next_drive,
    overlap,
    overshoot,
    pci,
    sectors,
    zonal,
)
from rm_geo.planning.product import Product


@cache
def all_products() -> tuple[Product, ...]:
    """Give all products; each comes after those that it needs.

    Returns
    -------
    tuple of Product

    Examples
    --------
    >>> [product.name for product in all_products()][:2]
    ['composite', 'best_server']
    """
    return (
        *best_server.PRODUCTS,
        *overlap.PRODUCTS,
        *coverage.PRODUCTS,
        *holes.PRODUCTS,
        *interference.PRODUCTS,
        *pci.PRODUCTS,
        *overshoot.PRODUCTS,
        *sectors.PRODUCTS,
        *zonal.PRODUCTS,
        *next_drive.PRODUCTS,
    )


def chosen_products(names: Sequence[str] = ()) -> tuple[Product, ...]:
    """Give some products, and those that they need or use.

    Parameters
    ----------
    names : sequence of str
        Names of products; all if empty. A dash counts as an underscore.

    Returns
    -------
    tuple of Product

    Raises
    ------
    UsageError
        If there is no product of a name.

    Examples
    --------
    >>> [product.name for product in chosen_products(["dominance"])]
    ['dominance']
    """
    import difflib

    known = {product.name: product for product in all_products()}
    wanted: set[str] = set()
    todo = [name.strip().replace("-", "_") for name in names] or list(known)
    while todo:
        name = todo.pop()
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(known)}."
            raise UsageError(f"There is no planning product {name!r}.", hint=hint, parameter="only")
        if name not in wanted:
            wanted.add(name)
            todo.extend((*known[name].needs, *known[name].uses))
    return tuple(product for product in known.values() if product.name in wanted)
