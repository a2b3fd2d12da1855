"""Find the argument of a call in which the cursor is, and write values as Python literals. Pure.

The source before the cursor is incomplete, so that neither `ast` nor `tokenize` reads it.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Argument", "argument_at", "literal", "text_of_literal"]

#: Longer source is not read.
_LONGEST = 100_000
_TOKEN = re.compile(
    r"""(?P<space>\s+ | \#[^\n]* | \\\n)
    | (?P<prefix>[rRbBuUfFtT]{0,2}) (?P<quote>'''|\"\"\"|'|")
    | (?P<name>[^\W\d]\w*)
    | (?P<number>\d[\w.]*)
    | (?P<sign>.)""",
    re.VERBOSE,
)
#: What follows an opening quote, up to the closing one, the end of the line, or the end of the source.
_BODY = {
    "'": re.compile(r"(?:[^'\\\n]|\\[\s\S])*"),
    '"': re.compile(r'(?:[^"\\\n]|\\[\s\S])*'),
    "'''": re.compile(r"(?:(?!''')[^\\]|\\[\s\S])*"),
    '"""': re.compile(r'(?:(?!""")[^\\]|\\[\s\S])*'),
}
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


@dataclass(frozen=True)
class Argument:
    """An argument that is being written.

    ``names`` are those of the called function, ``("one", "search")``. ``positional`` and ``keywords`` are the sources of the
    arguments before it. ``written`` is the source of its value, or of a member of its list, without the opening quote;
    ``quote`` is empty if there is none.
    """

    names: tuple[str, ...]
    keyword: str | None
    written: str
    prefix: str = ""
    quote: str = ""
    positional: Sequence[str] = ()
    keywords: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Bracket:
    """An open bracket: the position of its token, and the positions after it and after each of its commas."""

    at: int
    starts: list[int]


def argument_at(source: str) -> Argument | None:
    """Return the argument that the end of a source is in; None if it is in none, or not in a plain string or name."""
    if len(source) > _LONGEST or (found := _tokens(source)) is None:
        return None
    tokens, (prefix, quote, written) = found
    if not set(prefix.lower()) <= {"r", "u"}:
        return None
    brackets = _open_brackets(tokens)
    if not brackets:
        return None
    end = len(tokens)
    if not _is_call(tokens, brackets[-1].at):  # a list, whose member is written
        inner = brackets.pop()
        end = inner.at
        if tokens[inner.starts[-1] :]:
            return None
    if not brackets or not (names := _is_call(tokens, brackets[-1].at)):
        return None
    call = brackets[-1]
    item = tokens[call.starts[-1] : end]
    keyword = _keyword(item)
    if len(item) != (0 if keyword is None else 2):
        return None
    positional, keywords = _earlier(source, tokens, call)
    return Argument(names, keyword, written, prefix, quote, positional, keywords)


def _tokens(source: str) -> tuple[list[_Token], tuple[str, str, str]] | None:
    """Return the tokens before the value at the end of a source, and prefix, quote and source of this value.

    None for a comment or a number at the end.
    """
    tokens: list[_Token] = []
    at = 0
    while at < len(source):
        found = _TOKEN.match(source, at)
        assert found is not None
        start, at = at, found.end()
        if (quote := found["quote"]) is not None:
            body = _BODY[quote].match(source, at)
            assert body is not None
            if body.end() == len(source) or source[body.end() :] == "\\":
                return tokens, (found["prefix"], quote, source[at:])
            at = body.end() + (len(quote) if source.startswith(quote, body.end()) else 0)
            tokens.append(_Token("string", source[start:at], start))
        elif found["space"] is None:
            tokens.append(_Token(str(found.lastgroup), found[0], start))
        elif at == len(source) and found[0].startswith("#"):
            return None
    if tokens and tokens[-1].start + len(tokens[-1].text) == len(source):
        if tokens[-1].kind == "name":
            return tokens[:-1], ("", "", tokens[-1].text)
        if tokens[-1].kind != "sign":
            return None
    return tokens, ("", "", "")


def _open_brackets(tokens: Sequence[_Token]) -> list[_Bracket]:
    """Return the brackets that are not closed, from outside to inside."""
    brackets: list[_Bracket] = []
    for at, token in enumerate(tokens):
        if token.kind != "sign":
            continue
        if token.text in _CLOSING:
            brackets.append(_Bracket(at, [at + 1]))
        elif brackets and token.text == ",":
            brackets[-1].starts.append(at + 1)
        elif brackets and token.text == _CLOSING[tokens[brackets[-1].at].text]:
            brackets.pop()
    return brackets


def _is_call(tokens: Sequence[_Token], at: int) -> tuple[str, ...]:
    """Return the names of the function that a bracket calls, such as ``("one", "search")``; nothing for another bracket."""
    names: list[str] = []
    place = at - 1
    while tokens[at].text == "(" and place >= 0 and tokens[place].kind == "name":
        names.append(tokens[place].text)
        if place == 0 or tokens[place - 1].text != ".":
            return tuple(reversed(names))
        place -= 2
    return ()


def _keyword(item: Sequence[_Token]) -> str | None:
    if len(item) > 1 and item[0].kind == "name" and item[1].text == "=":
        return item[0].text
    return None


def _earlier(source: str, tokens: Sequence[_Token], call: _Bracket) -> tuple[list[str], dict[str, str]]:
    """Return the sources of the arguments before the last comma of a call: positional ones, and those with keywords."""
    positional: list[str] = []
    keywords: dict[str, str] = {}
    for start, after in zip(call.starts, call.starts[1:], strict=False):
        item, end = tokens[start : after - 1], tokens[after - 1].start
        keyword = _keyword(item)
        if keyword is not None and len(item) > 2:
            keywords[keyword] = source[item[2].start : end].strip()
        elif item:
            positional.append(source[item[0].start : end].strip())
    return positional, keywords


# ---- literals


def text_of_literal(argument: Argument) -> str | None:
    """Return the text that the source of a value stands for so far; None for half an escape sequence."""
    if not argument.quote:
        return argument.written
    return _evaluated(f"{argument.prefix}{argument.quote}{argument.written}", argument.quote)


def _evaluated(opened: str, quote: str) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escape sequences
        try:
            value = ast.literal_eval(f"{opened}{quote}")
        except (SyntaxError, ValueError):
            return None
    return value if isinstance(value, str) else None


def literal(text: str, prefix: str = "", quote: str = '"') -> str | None:
    """Return a text as it is written after an opening quote, without the closing one; None if a raw string cannot hold it."""
    if "r" in prefix.lower():
        return text if text.isprintable() and _evaluated(f"{prefix}{quote}{text}", quote) == text else None
    return "".join(_escaped(letter, quote[0]) for letter in text)


def _escaped(letter: str, quote: str) -> str:
    if letter in ("\\", quote):
        return f"\\{letter}"
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
