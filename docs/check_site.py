"""Check the built site: no link within it is broken, and its search finds each public name.

zensical build --clean --strict && python docs/check_site.py [FOLDER]    # exits with 1 and a list of errors
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

ROOT = Path(__file__).parents[1]
#: The public names, signatures and members, written by ``tests/typing/public_api.py``.
PUBLIC = ROOT / "tests" / "data" / "public_api.json"
#: Links within the site are resolved against this address, which may be any.
SITE = "https://site.invalid/"


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the addresses and ids of an element."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif value and (name == "id" or (name == "name" and tag == "a")):
                self.anchors.add(value)


def broken_links(site: Path) -> Iterator[str]:
    """Yield each link of a page, or of llms.txt, to a file or heading that the site does not have."""
    pages = {file: Page(file.read_text("utf-8")) for file in sorted(site.rglob("*.html"))}
    links = [(file, link) for file, page in pages.items() for link in sorted(page.links)]
    guide = site / "llms.txt"
    links += [(guide, link) for link in re.findall(r"\]\(([^)\s]+)\)", guide.read_text("utf-8"))]
    for file, link in links:
        address = urljoin(SITE + file.relative_to(site).as_posix(), link)
        if not address.startswith(SITE):
            continue
        parts = urlsplit(address)
        target = site / unquote(parts.path).strip("/")
        if target.is_dir():
            target /= "index.html"
        anchor = unquote(parts.fragment)
        if not target.is_file():
            yield f"{file.relative_to(site)}: {link} leads to no file"
        elif anchor and target in pages and anchor not in pages[target].anchors | {"__codelineno"}:
            yield f"{file.relative_to(site)}: {link} leads to no heading"


def names_not_found(site: Path) -> Iterator[str]:
    """Yield each public name that no section of the search index has, word by word as the search splits it."""
    index = json.loads((site / "search.json").read_text("utf-8"))
    splits = re.compile(index["config"]["separator"])

    def words(text: str) -> str:
        return " ".join(["", *filter(None, splits.split(re.sub(r"<[^>]+>", " ", text))), ""])

    sections = [words(f"{item['title']} {item['text']}") for item in index["items"]]
    for name in public_names():
        searched = words(name.rpartition(".")[2])
        if not any(searched in section for section in sections):
            yield f"the search does not find {name}"


def public_names() -> Iterator[str]:
    """Yield the public names of modules, the public members of classes, errors and commands."""
    public = json.loads(PUBLIC.read_text("utf-8"))
    for module, names in public["modules"].items():
        for name, described in names.items():
            yield f"{module}.{name}"
            members = {*described.get("members", ()), *described.get("fields", ())}
            yield from (
                f"{module}.{name}.{member}" for member in sorted(members) if not member.startswith("_")
            )
    yield from public["errors"]
    yield from public["commands"]


def main(site: Path) -> int:
    """Print the errors of a site, and return the exit status."""
    wrong = [*broken_links(site), *names_not_found(site)]
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site"))
