"""The checks of the built site, on a site of two pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from doc_pages import script

CHECK = script("check_site")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "howto" / "map").mkdir(parents=True)
    (tmp_path / "index.html").write_text(
        '<h1 id="top">Home</h1><a href="howto/map/#maps">map</a><a href="https://example.org/none">out</a>'
        '<a href="#top">up</a><img src="one%20map.png">'
    )
    (tmp_path / "howto" / "map" / "index.html").write_text(
        '<h1 id="maps">Maps</h1><a href="../..">home</a><a href="../../index.html#top">top</a>'
    )
    (tmp_path / "one map.png").write_bytes(b"")
    (tmp_path / "llms.txt").write_text("- [Map](howto/map/): a map")
    return tmp_path


def indexed(site: Path, *texts: str) -> None:
    items = [{"title": "", "text": text} for text in texts]
    config = {"separator": r"[\s\-_.()]+"}
    (site / "search.json").write_text(json.dumps({"config": config, "items": items}))


def test_a_good_site_has_no_broken_link(site: Path) -> None:
    assert list(CHECK.broken_links(site)) == []


@pytest.mark.parametrize(
    "link",
    ["howto/none/", "howto/map/#none", "#none", "none.png", "/howto/none", "../outside/", "howto/map/none"],
)
def test_a_broken_link_is_named(site: Path, link: str) -> None:
    (site / "index.html").write_text(f'<a href="{link}">x</a>')
    (site / "howto" / "map" / "index.html").write_text('<h1 id="maps">Maps</h1>')
    [found] = CHECK.broken_links(site)
    assert found.startswith(f"index.html: {link} leads to")


def test_a_broken_link_of_llms_txt_is_named(site: Path) -> None:
    (site / "llms.txt").write_text("- [Map](howto/map.md): a map")
    assert [line.partition(":")[0] for line in CHECK.broken_links(site)] == ["llms.txt"]


def test_names_are_searched_word_by_word(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["one_async.ONE.load_object", "one_async.ONE.load", "one_async.ONE.object_load", "one-async ls"]
    monkeypatch.setattr(CHECK, "public_names", lambda: iter(names))
    indexed(site, "<code>one.load_object(eid)</code>", "load <b>many</b>", "run one-async ls EID")
    assert list(CHECK.names_not_found(site)) == ["the search does not find one_async.ONE.object_load"]


def test_public_names_are_those_of_the_list() -> None:
    names = set(CHECK.public_names())
    assert {
        "one_async.AsyncONE.search",
        "one_async.types.SessionLike",
        "LoginError",
        "one-async cache prune",
    } <= names
    assert not [name for name in names if "._" in name]
