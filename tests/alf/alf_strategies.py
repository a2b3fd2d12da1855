"""Parts of ALF paths, for hypothesis: unambiguous ones, whose composed path has one reading."""

from __future__ import annotations

from hypothesis import strategies as st

UUIDS = st.uuids(version=4).map(str)
words = st.from_regex(r"[a-z][a-zA-Z0-9]{0,8}", fullmatch=True)
namespaces = st.none() | st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
attributes = words | words.map(lambda word: f"{word}_times") | words.map(lambda word: f"{word}_intervals")
timescales = st.none() | words.filter(lambda word: word not in ("times", "intervals"))
extras = st.none() | st.lists(words | UUIDS, min_size=1, max_size=3).map(".".join)
extensions = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)

names = st.fixed_dictionaries(
    {
        "namespace": namespaces,
        "object": words,
        "attribute": attributes,
        "timescale": timescales,
        "extra": extras,
        "extension": extensions,
    }
)
folders = st.fixed_dictionaries(
    {
        "lab": st.none() | st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
        "subject": st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,8}", fullmatch=True),
        "date": st.dates().map(str),
        "number": st.integers(1, 999).flatmap(lambda n: st.sampled_from([str(n), f"{n:03d}"])),
        "collection": st.none() | st.lists(words, min_size=1, max_size=3).map("/".join),
        "revision": st.none() | st.from_regex(r"[a-z0-9][\w.-]{0,8}", fullmatch=True).filter(str.isascii),
    }
)


def compose_name(parts: dict[str, str | None]) -> str:
    namespace = f"_{parts['namespace']}_" if parts["namespace"] else ""
    timescale = f"_{parts['timescale']}" if parts["timescale"] else ""
    extra = f".{parts['extra']}" if parts["extra"] else ""
    return f"{namespace}{parts['object']}.{parts['attribute']}{timescale}{extra}.{parts['extension']}"


def compose_folders(parts: dict[str, str | None]) -> list[str]:
    pieces = [parts["lab"], "Subjects"] if parts["lab"] else []
    pieces += [parts["subject"], parts["date"], parts["number"]]
    pieces += parts["collection"].split("/") if parts["collection"] else []
    return [*pieces, f"#{parts['revision']}#"] if parts["revision"] else pieces
