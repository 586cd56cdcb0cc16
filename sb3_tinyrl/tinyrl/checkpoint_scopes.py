"""The text of a checkpoint as statements in namespaces, for :mod:`sb3_tinyrl.tinyrl.checkpoint_parser`.

Whatever could make a compiler see other statements than are seen here, such as macros and raw strings, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: Of a number, as the writers of checkpoints write it. An integer has no leading zero, which would make it octal, and
#: is so small that every compiler has a type for it.
INTEGER = r"-?(?:0|[1-9]\d{0,8})"
NUMBER = (
    rf"(?:-?(?:0[xX][0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?[pP][+-]?\d{{1,5}}|(?:\d+\.\d*(?:[eE][+-]?\d{{1,5}})?|"
    rf"\d+[eE][+-]?\d{{1,5}}))[fF]?|{INTEGER})"
)

_DEEPEST = 16
_MOST_STATEMENTS = 1000  # in one namespace
_LONGEST_QUOTE = 80

_TOKEN = re.compile(
    rf"/\*(?:.*?\*/|.*)|//[^\n]*|^[ \t]*\#[^\n]*|\w*\"[^\"\\\n]*\"|{NUMBER}(?![\w.])|\w+|\S",
    re.ASCII | re.MULTILINE | re.DOTALL,
)
_DIRECTIVE = re.compile(r"\s*#\s*(pragma once|include <rl_tools/[\w/]+\.h>)\s*", re.ASCII)
_PREFIX = re.compile(r"RL_TOOLS_NAMESPACE_WRAPPER::rl_tools::|\b(?:policy::)?rlt::", re.ASCII)
_WORD_OR_STRING = re.compile(rf"\w+|{NUMBER}|\"[^\"]*\"", re.ASCII)
_SIGNS = frozenset("{}()[]<>,;:=*.-")
# Compilers do not agree about the first two, and join lines at the last.
_NO_LINES = (
    (re.compile(r"\r(?!\n)"), "it has a carriage return that ends no line"),
    (re.compile("\0"), "it has a null character"),
    (re.compile(r"\\[ \t\r\f\v]*$", re.MULTILINE), "a line of it ends in a backslash"),
)


class CheckpointSyntaxError(ValueError):
    """The text is not one that the writers of checkpoints write."""


@dataclass
class Scope:
    """A namespace: what is stated in it, and the namespaces in it by name."""

    statements: list[list[str]] = field(default_factory=list)
    children: dict[str, Scope] = field(default_factory=dict)

    def child(self, path: str) -> Scope | None:
        """Return the namespace of that path from here."""
        scope: Scope | None = self
        for name in path.split("::"):
            scope = scope.children.get(name) if scope else None
        return scope


def read_scopes(text: str) -> Scope:
    """Return what is outside of all namespaces.

    :raises CheckpointSyntaxError: when braces do not match, or the text has something that no writer of checkpoints
        writes anywhere
    """
    return _scopes(_tokens(text))


def text_of(tokens: list[str]) -> str:
    """Return a statement with spaces between two words only, and without ``RL_TOOLS_NAMESPACE_WRAPPER::rl_tools::``."""
    text = " ".join(tokens)
    return _PREFIX.sub("", re.sub(r" ?([^\w ]) ?", r"\1", text, flags=re.ASCII))


def quote(text: str) -> str:
    """Return the beginning of a text, for an error message."""
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}...")


def _tokens(text: str) -> list[str]:
    for pattern, message in _NO_LINES:
        if pattern.search(text):
            raise CheckpointSyntaxError(message)
    tokens = []
    depth = 0
    for token in _TOKEN.findall(text):
        if token.startswith(("//", "/*")):
            if token.startswith("/*") and not (len(token) > 3 and token.endswith("*/")):
                raise CheckpointSyntaxError("it has a comment without an end")
            continue
        if token.lstrip().startswith("#"):
            if depth or not _DIRECTIVE.fullmatch(token):
                raise CheckpointSyntaxError(f"it has the line {quote(token.strip())}")
            continue
        if token not in _SIGNS and not _WORD_OR_STRING.fullmatch(token):
            # A digraph, a quotation mark that ends in another line, a raw string.
            raise CheckpointSyntaxError(f"it has {quote(token)}")
        depth += (token == "{") - (token == "}")
        tokens.append(token)
    return tokens


def _scopes(tokens: list[str]) -> Scope:
    root = Scope()
    open_scopes, n_opened = [root], []  # scopes from the outermost on, and how many each brace has opened
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if token == "namespace":
            end = position + 1
            while end < len(tokens) and tokens[end] not in ("{", "=", ";"):
                end += 1
            names = " ".join(tokens[position + 1 : end]).replace(" : : ", "::").split("::")
            if end == len(tokens) or tokens[end] == ";" or not all(map(str.isidentifier, names)):
                raise CheckpointSyntaxError(f"it has {quote(' '.join(tokens[position : end + 1]))}")
            if tokens[end] == "{":
                for name in names:
                    open_scopes.append(open_scopes[-1].children.setdefault(name, Scope()))
                n_opened.append(len(names))
                if len(open_scopes) > _DEEPEST:
                    raise CheckpointSyntaxError(f"its namespaces are nested more than {_DEEPEST} deep")
                position = end + 1
                continue
        elif token == "}":
            if not n_opened:
                raise CheckpointSyntaxError("it has a closing brace too many")
            del open_scopes[-n_opened.pop() :]
            position += 2 if tokens[position + 1 : position + 2] == [";"] else 1
            continue
        end = _end_of_statement(tokens, position)
        if len(open_scopes[-1].statements) == _MOST_STATEMENTS:
            raise CheckpointSyntaxError(f"one of its namespaces has more than {_MOST_STATEMENTS} statements")
        open_scopes[-1].statements.append(tokens[position:end])
        position = end + 1 if end < len(tokens) and tokens[end] == ";" else end
    if n_opened:
        raise CheckpointSyntaxError("it ends within a namespace")
    return root


def _end_of_statement(tokens: list[str], start: int) -> int:
    """Return where the semicolon is, or what follows a function's closing brace."""
    depth = 0
    for position in range(start, len(tokens)):
        token = tokens[position]
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            if depth < 0:
                break
            if depth == 0 and tokens[position + 1 : position + 2] != [";"]:
                return position + 1
        elif token == ";" and depth == 0:
            return position
    raise CheckpointSyntaxError(f"it has {quote(text_of(tokens[start : start + 20]))} without an end")
