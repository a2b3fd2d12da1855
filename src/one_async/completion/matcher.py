"""The matcher that IPython asks for completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from one_async.completion.source import argument_at, literal, text_of_literal
from one_async.completion.values import values_of

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["install", "remove"]

IDENTIFIER = "one_async.values"


def install(shell: InteractiveShell) -> None:
    """Add the matcher to a shell's completer."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher(identifier=IDENTIFIER)  # type: ignore[untyped-decorator]
    def match(context: CompletionContext) -> SimpleMatcherResult:
        """Complete the value of an argument of a client's method."""
        lines = context.full_text.split("\n")[: context.cursor_line + 1]
        after = lines[-1][context.cursor_position :]
        lines[-1] = lines[-1][: context.cursor_position]
        written, texts, is_text = completions("\n".join(lines), after, shell.user_ns)
        return {
            "completions": [SimpleCompletion(text, type="value") for text in texts],
            "matched_fragment": written,
            "suppress": is_text,  # file names; what begins without a quote may be a variable
            "ordered": True,
        }

    remove(shell)
    shell.Completer.custom_matchers.append(match)


def remove(shell: InteractiveShell) -> None:
    """Remove the matcher from a shell's completer."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [one for one in matchers if getattr(one, "matcher_identifier", None) != IDENTIFIER]


def completions(before: str, after: str, names: Mapping[str, Any]) -> tuple[str, list[str], bool]:
    """Return what may replace the end of a source: this end, the replacements, and whether it can only be a text.

    ``after`` is the rest of the line. A closing quote is added where it has none.
    """
    argument = argument_at(before)
    begins = None if argument is None else text_of_literal(argument)
    if argument is None or begins is None:
        return "", [], False
    values = values_of(argument, begins, names)
    if not argument.quote:
        return argument.written, [f'"{literal(value)}"' for value in values], not argument.written
    closing = argument.quote if not after.strip() or after[0] in ")]}, " else ""
    literals = (literal(value, argument.prefix, argument.quote) for value in values)
    return argument.written, [f"{text}{closing}" for text in literals if text is not None], True
