"""Acronyms of brain regions by the ids of the Allen ontology, in that ontology and in coarser mappings."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal, TypeAlias, get_args

from one_async.errors import InputError

RegionMapping: TypeAlias = Literal["Allen", "Beryl", "Cosmos"]
#: The acronym of ids outside the brain, and of ids that the ontology lacks.
VOID = "void"


def check_mapping(mapping: object) -> None:
    """Raise InputError for anything but the name of a mapping."""
    if not isinstance(mapping, str) or mapping not in get_args(RegionMapping):
        raise InputError.of("regions", mapping, get_args(RegionMapping))


@cache
def acronyms_of(mapping: RegionMapping) -> dict[int, str]:
    """Return the acronym of each region by its id in the right hemisphere; the left one has the negative id."""
    import polars as pl

    # Written by tests/client/make_regions.py, which names the sources.
    text = files("one_async.client").joinpath("regions.csv").read_bytes()
    table = pl.read_csv(text, comment_prefix="#", infer_schema=False)
    return dict(zip(table["id"].cast(pl.Int64), table[mapping], strict=True))
