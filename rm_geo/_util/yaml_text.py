"""YAML of bounded size, depth and expansion, with errors of one line that quote nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from yaml import Node

_MOST_CHARS: Final = 1 << 22
_MOST_NODES: Final = 100_000
_MOST_DEPTH: Final = 60
_MOST_DIGITS: Final = 64
# What the constructors of PyYAML raise for values that only look like numbers or dates.
_BAD_VALUE: Final = (ValueError, TypeError, AttributeError, LookupError, OverflowError)


def parse_yaml(text: str) -> Any:  # noqa: ANN401 - any YAML value
    r"""Parse YAML without objects of Python, within bounds.

    Aliases count as often as they are used, so that a short text cannot stand for a large value.

    Parameters
    ----------
    text : str
        A document of at most 4 MiB, 100 000 values and 60 levels.

    Returns
    -------
    object
        None for an empty document.

    Raises
    ------
    ValueError
        If it is not YAML, or beyond the bounds; the message is one clause, such as ``is not YAML:
        ... in line 3``.

    Examples
    --------
    >>> parse_yaml("reach: 40\nsites: [a, b]")
    {'reach': 40, 'sites': ['a', 'b']}
    >>> parse_yaml("a: &a [1, *a]")
    Traceback (most recent call last):
    ValueError: is not usable YAML: an alias stands for a value that contains it in line 1
    """
    import yaml

    if len(text) > _MOST_CHARS:
        raise ValueError(f"has more than {_MOST_CHARS >> 20} MiB")

    class BoundedLoader(yaml.SafeLoader):
        """Loader that counts values and levels while it composes them."""

        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self.sizes: dict[int, int] = {}  # of complete nodes
            self.levels: list[int] = []  # values so far in each open node

        def compose_node(self, parent: Node | None, index: int) -> Node | None:
            """Compose a node, or refuse it."""
            is_alias = self.check_event(yaml.AliasEvent)
            line = self.peek_event().start_mark.line  # type: ignore[no-untyped-call]
            if is_alias:
                node = super().compose_node(parent, index)
                if id(node) not in self.sizes:
                    raise _Refused("an alias stands for a value that contains it", line)
            else:
                if len(self.levels) == _MOST_DEPTH:
                    raise _Refused(f"there are more than {_MOST_DEPTH} levels", line)
                self.levels.append(0)
                node = super().compose_node(parent, index)
                self.sizes[id(node)] = 1 + self.levels.pop()
            if self.levels:
                self.levels[-1] += self.sizes[id(node)]
                if self.levels[-1] > _MOST_NODES:
                    raise _Refused(f"there are more than {_MOST_NODES:,} values", line)
            return node

        def construct_scalar(self, node: Any) -> Any:  # noqa: ANN401 - untyped in PyYAML
            """Refuse numbers of many digits: reading them takes long, and writing them fails."""
            is_number = node.tag in {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
            if is_number and len(node.value) > _MOST_DIGITS:
                raise _Refused(f"a number has {len(node.value)} digits", node.start_mark.line)
            return super().construct_scalar(node)

    loader = None
    try:
        loader = BoundedLoader(text)
        return loader.get_single_data()
    except _Refused as refused:
        raise ValueError(f"is not usable YAML: {refused}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        # "could not determine a constructor for the tag '...'" would quote the text.
        problem = (error.problem or error.context or "it cannot be parsed").split(" '")[0]
        problem = problem.removesuffix(" but found").rstrip(",")
        raise ValueError(f"is not YAML: {problem}{where}") from None
    except yaml.YAMLError:
        raise ValueError("is not YAML: it has characters that are not allowed") from None
    except RecursionError:
        raise ValueError(f"is not YAML: there are more than {_MOST_DEPTH} levels") from None
    except _BAD_VALUE:
        raise ValueError("is not YAML: a number or date is not valid") from None
    finally:
        if loader is not None:
            loader.dispose()


class _Refused(Exception):  # noqa: N818 - not an error of PyYAML, nor of rm_geo
    """A document beyond the bounds."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(f"{what} in line {line + 1}")
