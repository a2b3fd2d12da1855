"""Make the table of brain regions, and record iblatlas's answers for every id. Run it where iblatlas is installed:

    python -m venv atlas && atlas/bin/pip install iblatlas && atlas/bin/python tests/client/make_regions.py

The ontology is the Allen Institute's (structure graph 1 of the adult mouse, CCF 2017), the lists of regions of the Beryl and
Cosmos mappings are IBL's; iblatlas distributes all three under the MIT license, whose text is written into the table. A region is
mapped to itself or the nearest region above it that is in the list, else to the root. The mappings are computed here, from
the parents in the ontology; the recorded answers are those of `BrainRegions.id2acronym`, which has its own tables.
"""

from __future__ import annotations

import csv
from importlib.metadata import distribution, version
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "src" / "one_async" / "client" / "regions.csv"
ANSWERS = ROOT / "tests" / "data" / "iblatlas_regions.csv"
MAPPINGS = ("Allen", "Beryl", "Cosmos")
ROOT_ID, VOID_ID = 997, 0
#: An id and its acronyms.
Row: TypeAlias = tuple[int, *tuple[str, ...]]


def main() -> None:
    """Write the table and the recorded answers; exit if they differ."""
    rows = mapped_rows()
    write(TABLE, rows, notice())
    recorded = answers()
    write(ANSWERS, recorded, [f"What BrainRegions().id2acronym of iblatlas {version('iblatlas')} answers"])
    own = {row[0]: row[1:] for row in rows}
    different = [row for row in recorded if own[abs(row[0])] != row[1:]]
    assert not different, different[:5]
    assert {abs(row[0]) for row in recorded} == set(own)
    print(f"{len(rows)} regions, {len(recorded)} answers of iblatlas, none different")


def mapped_rows() -> list[Row]:
    """Return (id, acronyms…) of each region, sorted by id."""
    import numpy as np

    package = files("iblatlas")
    with package.joinpath("allen_structure_tree.csv").open(encoding="utf-8") as file:
        tree = list(csv.DictReader(file))
    acronyms = {int(row["id"]): row["acronym"] for row in tree}
    parents = {int(row["id"]): int(row["parent_structure_id"]) for row in tree if row["parent_structure_id"]}
    lists = [set(acronyms)]
    for mapping in MAPPINGS[1:]:
        with package.joinpath(f"{mapping.lower()}.npy").open("rb") as data:
            lists.append({int(one) for one in np.load(data).ravel()})

    def mapped(region: int, wanted: set[int]) -> str:
        if region == VOID_ID:
            return acronyms[VOID_ID]
        while region not in wanted and region in parents:
            region = parents[region]
        return acronyms[region if region in wanted else ROOT_ID]

    return sorted((region, *(mapped(region, wanted) for wanted in lists)) for region in acronyms)


def answers() -> list[Row]:
    """Return (id, acronyms…) of both hemispheres as iblatlas answers, sorted by id."""
    from iblatlas.regions import BrainRegions

    regions = BrainRegions()
    columns = [regions.id2acronym(regions.id, mapping=mapping) for mapping in MAPPINGS]
    return sorted((int(region), *map(str, row)) for region, *row in zip(regions.id, *columns, strict=True))


def notice() -> list[str]:
    """Return the source of the table, and its license."""
    license_text = distribution("iblatlas").read_text("licenses/LICENSE") or ""
    assert "MIT" in license_text
    return [
        "Regions of the mouse brain by their id in the Allen ontology (CCF 2017): their acronyms in three mappings.",
        "Ontology: Allen Institute for Brain Science, Allen Mouse Brain CCF (2017), https://atlas.brain-map.org.",
        f"Ontology and mappings as distributed in iblatlas {version('iblatlas')}; written by tests/client/make_regions.py.",
        "",
        *license_text.strip().splitlines(),
    ]


def write(path: Path, rows: list[Row], head: list[str]) -> None:
    """Write a table below comments."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"# {line}".rstrip() + "\n" for line in head)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", *MAPPINGS))
        writer.writerows(rows)


if __name__ == "__main__":
    main()
