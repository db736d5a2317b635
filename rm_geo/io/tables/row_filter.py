"""Expressions that select rows of a file, such as ``speed > 5 and technology == "LTE"``.

An expression has comparisons, arithmetic, ``and``, ``or``, ``not``, ``in`` and ``is null`` over
columns, numbers and texts. It is parsed as Python and evaluated by Arrow, node by node: function
calls and attributes are refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rm_geo.errors import InputError, UsageError
from rm_geo.io.tables.arrow import to_numbers
from rm_geo.io.tables.arrow_numpy import to_numpy
from rm_geo.io.tables.column_roles import quoted

_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
}
_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    ast.Div: pc.divide,
}
_QUOTED_NAME: Final = re.compile(r"`([^`]+)`")
_STRING: Final = re.compile(r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
_MOST_CHARACTERS: Final = 2000
_HINT: Final = (
    "Write comparisons such as speed > 5 and technology == 'LTE'; put names with spaces into "
    "backquotes: `Speed km/h` > 5."
)


@dataclass(frozen=True)
class RowFilter:
    """A parsed expression.

    Attributes
    ----------
    text : str
        The expression as it was given.
    columns : tuple of str
        The columns that it names.

    Examples
    --------
    >>> rows = RowFilter.parse("speed > 5 and tech = 'LTE'", ["speed", "tech"], "drive.csv")
    >>> table = {"speed": pa.chunked_array([["3", "8", "9"]]),
    ...          "tech": pa.chunked_array([["LTE", "LTE", "NR"]])}
    >>> rows.matches(table, "drive.csv").tolist()
    [False, True, False]
    """

    text: str
    columns: tuple[str, ...]
    _tree: ast.expr
    _names: Mapping[str, str]

    @classmethod
    def parse(cls, text: str, names: list[str], source: str) -> RowFilter:
        """Parse an expression over the columns of a file.

        Parameters
        ----------
        text : str
            The expression; ``=``, ``<>``, ``AND``, ``OR``, ``NOT`` of SQL are accepted.
        names : list of str
            The columns of the file.
        source : str
            The file, for messages.

        Returns
        -------
        RowFilter

        Raises
        ------
        UsageError
            If it cannot be parsed, or names a column that is missing.
        """
        aliases: dict[str, str] = {}
        pieces = _STRING.split(text)
        for place in range(0, len(pieces), 2):  # odd pieces are texts in quotation marks
            piece = _QUOTED_NAME.sub(lambda found: _alias(found[1], aliases), pieces[place])
            piece = re.sub(r"<>", "!=", piece)
            piece = re.sub(r"(?<![<>=!])=(?!=)", "==", piece)
            piece = re.sub(
                r"\b(AND|OR|NOT|IN|IS|NULL)\b", lambda m: m[1].lower(), piece, flags=re.IGNORECASE
            )
            pieces[place] = re.sub(r"\bnull\b", "None", piece)
        try:
            if len(text) > _MOST_CHARACTERS:
                raise SyntaxError("it is too long")
            tree = ast.parse("".join(pieces).strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or "it is not an expression"
            raise UsageError(
                f"The row filter {text!r} cannot be read: {reason}.", hint=_HINT, parameter="where"
            ) from error
        known = {name.casefold(): name for name in names}
        found: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                wanted = aliases.get(node.id, node.id)
                column = wanted if wanted in names else known.get(wanted.casefold())
                if column is None:
                    raise UsageError(
                        f"{source} has no column {wanted!r}, which the row filter names. Its "
                        f"columns are {quoted(names)}.",
                        hint=_HINT,
                        parameter="where",
                    )
                found[node.id] = column
            elif not isinstance(node, _ALLOWED):
                raise UsageError(
                    f"The row filter {text!r} has {type(node).__name__}, which is not allowed.",
                    hint=_HINT,
                    parameter="where",
                )
        return cls(text, tuple(dict.fromkeys(found.values())), tree, found)

    def matches(self, columns: Mapping[str, Any], source: str) -> NDArray[np.bool_]:
        """Evaluate the expression on a chunk of rows.

        Parameters
        ----------
        columns : mapping of str to pyarrow.ChunkedArray
            The columns, of one length.
        source : str
            The file, for messages.

        Returns
        -------
        ndarray of bool, shape (N,)
            Rows that fulfil the expression; False for null.

        Raises
        ------
        InputError
            If values cannot be compared.
        UsageError
            If the expression is not a condition.
        """
        rows = len(next(iter(columns.values()))) if columns else 0
        try:
            result = _Evaluator(columns, self._names, source).value(self._tree)
            if not pa.types.is_boolean(result.type):
                raise UsageError(
                    f"The row filter {self.text!r} is not a condition.",
                    hint=_HINT,
                    parameter="where",
                )
            if isinstance(result, pa.Scalar):
                return np.full(rows, bool(result.as_py()))
            return to_numpy(result, null=False)
        except pa.ArrowException as error:
            raise InputError(
                f"The row filter {self.text!r} cannot be evaluated on {source}: "
                f"{str(error).splitlines()[0]}.",
                hint=_HINT,
                parameter="where",
            ) from error


_ALLOWED: Final = (
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.USub,
    ast.Compare,
    ast.BinOp,
    ast.Constant,
    ast.Load,
    ast.List,
    ast.Tuple,
    ast.In,
    ast.NotIn,
    ast.Is,
    ast.IsNot,
    *_COMPARE,
    *_ARITHMETIC,
)


def _alias(name: str, aliases: dict[str, str]) -> str:
    """Replace a name in backquotes by an identifier."""
    identifier = f"column_{len(aliases)}_"
    aliases[identifier] = name
    return identifier


class _Evaluator:
    """Evaluates a tree on the columns of a chunk."""

    def __init__(self, columns: Mapping[str, Any], names: Mapping[str, str], source: str) -> None:
        self._columns = columns
        self._names = names
        self._source = source

    def value(self, node: ast.expr) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Evaluate a node to a column or scalar."""
        if isinstance(node, ast.Name):
            return self._columns[self._names[node.id]]
        if isinstance(node, ast.Constant):
            return pa.scalar(node.value)
        if isinstance(node, ast.BoolOp):
            join = pc.and_kleene if isinstance(node.op, ast.And) else pc.or_kleene
            result = self.value(node.values[0])
            for part in node.values[1:]:
                result = join(result, self.value(part))
            return result
        if isinstance(node, ast.UnaryOp):
            operand = self.value(node.operand)
            return pc.invert(operand) if isinstance(node.op, ast.Not) else pc.negate(operand)
        if isinstance(node, ast.BinOp):
            left, right = (
                self._numbers(self.value(node.left)),
                self._numbers(self.value(node.right)),
            )
            return _ARITHMETIC[type(node.op)](left, right)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        raise UsageError(
            "The row filter has a part that is not allowed.", hint=_HINT, parameter="where"
        )

    def _compare(self, node: ast.Compare) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Evaluate a comparison, which may be chained: 1 < x < 5."""
        result: Any = None
        left = self.value(node.left)
        for operator, other in zip(node.ops, node.comparators, strict=True):
            part = self._one(left, operator, other)
            result = part if result is None else pc.and_kleene(result, part)
            left = None if isinstance(other, (ast.List, ast.Tuple)) else self.value(other)
        return result

    def _one(self, left: Any, operator: ast.cmpop, other: ast.expr) -> Any:  # noqa: ANN401
        """Compare a value with another one."""
        if isinstance(operator, (ast.In, ast.NotIn)):
            options = other.elts if isinstance(other, (ast.List, ast.Tuple)) else [other]
            parts = [self._one(left, ast.Eq(), option) for option in options]
            found = parts[0]
            for part in parts[1:]:
                found = pc.or_kleene(found, part)
            return pc.invert(found) if isinstance(operator, ast.NotIn) else found
        right = self.value(other)
        if isinstance(operator, (ast.Is, ast.IsNot)) or right is None or not _is_valid(right):
            empty = pc.is_null(_blank_to_null(left))
            negative = isinstance(operator, (ast.IsNot, ast.NotEq))
            return pc.invert(empty) if negative else empty
        if _is_text(left) != _is_text(right):
            left, right = self._numbers(left), self._numbers(right)
        return _COMPARE[type(operator)](left, right)

    def _numbers(self, values: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Convert text to numbers; refuse a text constant that is not a number."""
        if not _is_text(values):
            return values
        if isinstance(values, pa.Scalar):
            try:
                return pa.scalar(float(values.as_py()))
            except ValueError:
                raise UsageError(
                    f"The row filter compares numbers with the text {values.as_py()!r}.",
                    hint=_HINT,
                    parameter="where",
                ) from None
        numbers = to_numbers(values, "a column of the row filter", self._source).values
        return pa.chunked_array([pa.array(numbers, mask=np.isnan(numbers))])


def _is_valid(value: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    """Whether a value is not a null constant."""
    return not isinstance(value, pa.Scalar) or bool(value.is_valid)


def _is_text(value: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    """Whether a column or constant is text."""
    return bool(pa.types.is_string(value.type) or pa.types.is_large_string(value.type))


def _blank_to_null(value: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Convert blank text to null."""
    if not _is_text(value):
        return value
    return pc.if_else(
        pc.equal(pc.utf8_trim_whitespace(value), ""), pa.scalar(None, value.type), value
    )
