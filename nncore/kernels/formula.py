"""What a formula is: a function of numbers, the roles of its arguments, and its source rewritten for one number.

Arguments before the star are arrays, keyword-only arguments are coefficients, one number per network:

    def momentum_update(W: Array, g: Array, v: Array, *, learning_rate: Array, momentum: Array) -> tuple[Array, Array]:
        v = momentum * v + g
        return W - learning_rate * v, v

As it stands, the function works on whole arrays with NumPy. `Formula.scalar_source` rewrites it for single numbers, the
form that a compiler needs (compiled.py).
"""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from textwrap import dedent, indent
from typing import Any

# NumPy's functions that every library rounds alike. exp, log and tanh are not among them: each library rounds those in
# its own way, so a formula that calls them is not compiled.
EXACT_FUNCTIONS = {"abs", "maximum", "minimum", "sign", "sqrt", "where"}
ALLOWED_SYNTAX = (
    *(ast.Assign, ast.Return, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.Tuple),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq),
    *(ast.Load, ast.Store),
)


@dataclass(frozen=True)
class Formula:
    """A function of numbers and the names of its arguments, by role.

    Parameters
    ----------
    function : callable
        Works on arrays; its source can be read.
    reads : tuple of str
        Arguments that are arrays.
    writes : tuple of str
        Names of the results: arguments that are overwritten, or arrays that are only written.
    coefficients : tuple of str
        Keyword-only arguments: one number per network.
    """

    function: Callable[..., Any]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    coefficients: tuple[str, ...]

    @classmethod
    def of(cls, function: Callable[..., Any], writes: tuple[str, ...]) -> "Formula":
        """Read the roles of the arguments from the function's signature."""
        arguments = inspect.signature(function).parameters.values()
        keyword_only = inspect.Parameter.KEYWORD_ONLY
        return cls(
            function,
            tuple(argument.name for argument in arguments if argument.kind is not keyword_only),
            writes,
            tuple(argument.name for argument in arguments if argument.kind is keyword_only),
        )

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of all arrays, in the order of a call: those that are read, then those that are only written."""
        return (*self.reads, *(name for name in self.writes if name not in self.reads))

    def scalar_source(self, dtype: str) -> str | None:
        """Return the source of `formula__(*reads, *coefficients)` for numbers of this dtype.

        Two things change: np.where(condition, a, b) becomes `a if condition else b`, and a literal number is cast to
        the dtype (otherwise float32 arithmetic would become float64).

        Returns
        -------
        str or None
            None if the function is not made of + - * /, comparisons and EXACT_FUNCTIONS only, or if its source is not
            available.
        """
        definition = _definition_of(self.function)
        if definition is None:
            return None
        body = definition.body[1:] if ast.get_docstring(definition) else definition.body
        if not all(_is_exact(node) for statement in body for node in ast.walk(statement)):
            return None
        rewrite = _ForOneNumber(dtype)
        lines = [ast.unparse(rewrite.visit(statement)) for statement in body]
        return (
            f"def formula__({', '.join((*self.reads, *self.coefficients))}):\n{indent(chr(10).join(lines), '    ')}\n"
        )


def _definition_of(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """The syntax tree of a function; None without its source, or if its file has changed since it was imported."""
    try:
        definition = ast.parse(dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    if not isinstance(definition, ast.FunctionDef) or definition.name != function.__name__:
        return None
    return definition


def _is_exact(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == "np" and node.attr in EXACT_FUNCTIONS
    return isinstance(node, ALLOWED_SYNTAX)


class _ForOneNumber(ast.NodeTransformer):
    """Replaces what works on arrays only."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.parse(f"np.{self._dtype}({node.value!r})", mode="eval").body

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "where":
            condition, if_true, if_false = node.args
            return ast.IfExp(condition, if_true, if_false)
        return node
