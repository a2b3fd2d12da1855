"""Text and HTML for notebooks and terminals. Pure.

Every text is escaped unless it is `Markup`. The HTML sets no colour or background, so that it fits light and dark
themes; it has no style sheet, script or reference to another file.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

__all__ = [
    "CONTROLS",
    "Markup",
    "Printer",
    "bars",
    "card",
    "cell",
    "clipped",
    "elapsed",
    "link",
    "plain_text",
    "size",
    "table",
    "text_table",
]

#: The maximum width of a text in columns.
WIDTH = 80
#: Control characters, and characters that change the direction of the following text.
CONTROLS = dict.fromkeys(
    (*range(32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"
)
_LONGEST = 300
_CELL = (
    "text-align:left;vertical-align:top;padding:1px 10px 1px 0;white-space:normal;overflow-wrap:break-word"
)
_LINE = "border-bottom:1px solid;border-color:color-mix(in srgb,currentColor 30%,transparent)"


class Printer(Protocol):
    """The part of IPython's printer that is used here."""

    def text(self, text: str, /) -> None:
        """Write a text."""


class Markup(str):
    """HTML that is complete and safe, and is not escaped again."""

    __slots__ = ()


def plain_text(value: object, longest: int = _LONGEST) -> str:
    """Return any value as one printable line: without control characters, line breaks and lone surrogates, never failing."""
    try:
        text = str(value)
    except Exception:  # the __str__ of a foreign object failed, or an integer has too many digits
        text = f"<{type(value).__name__}>"
    if len(text) > longest:
        text = f"{text[: longest - 2]}.."
    return text.translate(CONTROLS).encode("utf-8", "backslashreplace").decode()


def clipped(value: object, width: int) -> str:
    """Return a value as one line of at most so many characters."""
    text = plain_text(value, max(width, 2))
    return text if len(text) <= width else f"{text[: max(width - 2, 0)]}.."


def text_table(names: Sequence[str], rows: Iterable[Sequence[object]], most: Sequence[int]) -> list[str]:
    """Return the lines of a table, indented, at most `WIDTH` wide; ``most`` are the largest widths of the columns."""
    cells = [
        [clipped(value, width) for value, width in zip(row, most, strict=True)] for row in (names, *rows)
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        clipped(
            "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip(),
            WIDTH,
        )
        for row in cells
    ]


def cell(value: object) -> Markup:
    """Return a value as HTML: escaped, unless it is `Markup`; None as nothing."""
    if type(value) is Markup:
        return value
    return Markup("" if value is None else html.escape(plain_text(value)))


def link(text: object, url: object) -> Markup:
    """Return a link to a web page; only the text if the address is not that of a web page."""
    address = plain_text(url, 2000)
    try:
        parts = urlsplit(address)
        is_page = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:  # an invalid host in brackets
        is_page = False
    if not is_page:
        return cell(text)
    return Markup(
        f'<a href="{html.escape(address)}" target="_blank" rel="noopener noreferrer" style="color:inherit">{cell(text)}</a>'
    )


def table(
    names: Sequence[object],
    rows: Iterable[Sequence[object]],
    numbers: Collection[object] = (),
    whole: Collection[object] = (),
) -> Markup:
    """Return a table with a header; the columns of ``numbers`` are aligned at their right, those of ``whole`` never wrap."""
    styles = [_CELL.replace("left", "right", 1) if name in numbers else _CELL for name in names]
    styles = [
        style.replace("white-space:normal", "white-space:nowrap") if name in whole else style
        for name, style in zip(names, styles, strict=True)
    ]
    head = "".join(
        f'<th style="{style};{_LINE}">{cell(name)}</th>' for name, style in zip(names, styles, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{style}">{cell(value)}</td>' for value, style in zip(row, styles, strict=True))
        + "</tr>"
        for row in rows
    )
    return Markup(
        f'<table style="border-collapse:collapse;color:inherit"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def card(title: object, fields: Mapping[str, object], *parts: Markup) -> Markup:
    """Return a title, a row for each field that is not empty, and further parts below."""
    rows = "".join(
        f'<tr><th scope="row" style="{_CELL};font-weight:normal;opacity:.7">{cell(name)}</th>'
        f'<td style="{_CELL}">{shown}</td></tr>'
        for name, value in fields.items()
        if (shown := cell(value))
    )
    below = (
        f'<table style="border-collapse:collapse;color:inherit"><tbody>{rows}</tbody></table>' if rows else ""
    )
    return Markup(
        f'<div style="color:inherit"><div style="font-weight:bold">{cell(title)}</div>{below}{"".join(parts)}</div>'
    )


def bars(counts: Sequence[int], title: str = "") -> Markup:
    """Return a histogram of counts as a small SVG in the colour of the text around it."""
    top = max(counts, default=0)
    if top <= 0:
        return Markup("")
    width, height, step = 84, 20, 84 / len(counts)
    drawn = "".join(
        f'<rect x="{at * step:.1f}" y="{height - tall:.1f}" width="{max(step - 0.5, 0.5):.1f}" height="{tall:.1f}"/>'
        for at, count in enumerate(counts)
        if (tall := max(count / top * height, 1.0 if count else 0.0))
    )
    return Markup(
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" fill="currentColor" opacity="0.7">'
        f"<title>{cell(title)}</title>{drawn}</svg>"
    )


def size(count: object) -> str:
    """Return a number of bytes with a unit, such as ``1.2 MB``; an empty text for anything else."""
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < 2**63:
        return ""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 99.5 else f"{value:.1f} {units[0]}"


def elapsed(seconds: float) -> str:
    """Return a time span in whole units, such as ``3 days``."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"


def field_lines(fields: Mapping[str, object]) -> list[str]:
    """Return an indented line for each field that is not empty; a long value is cut."""
    shown = {
        plain_text(name, 24): plain_text(value) for name, value in fields.items() if value not in (None, "")
    }
    width = max(map(len, shown), default=0)
    return [clipped(f"  {name.ljust(width)}  {text}", WIDTH) for name, text in shown.items()]


def pretty(lines: Iterable[str], printer: Printer, cycle: bool) -> None:
    """Print lines with IPython's printer; for a ``_repr_pretty_``."""
    printer.text("..." if cycle else "\n".join(lines))
