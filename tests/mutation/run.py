"""Mutate the code in one small place at a time, and count the mutants that no test detects.

``python tests/mutation/run.py --sample 100 alyx transfer`` tries a random, seeded sample of the mutants of each of these
parts; without ``--sample`` all mutants, without names all parts. mutmut makes and runs the mutants, in a copy of the
project, each with the tests that execute the changed function. Its fork server isolates each run from threads of
Polars and of servers that another run started. Prints a table and the survivors; `mutmut show NAME` in the copy's folder
shows one. Texts of errors are not changed.

Exits with 1 if fewer than ``--least`` percent of the mutants of a part are killed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The files of each part that are mutated, and the tests of them, quick ones first.
PARTS: dict[str, tuple[list[str], list[str]]] = {
    "ids": (["ids.py"], ["test_ids.py", "client/test_client_convert.py"]),
    "terms": (["queries/terms.py"], ["client/test_client_search.py", "client/test_client_odd_columns.py"]),
    "query": (["tables/query.py"], ["tables/test_tables_query.py", "tables/test_tables_listing.py"]),
    "merge": (
        ["tables/merge.py"],
        ["tables/test_tables_merge.py", "tables/test_tables_save.py", "modes/test_growth.py"],
    ),
    "complete": (
        ["harvest/complete.py"],
        ["harvest/test_compared.py", "harvest/test_resume.py", "harvest/test_harvest.py"],
    ),
    "alyx": (["alyx/*.py"], ["alyx"]),
    "queries": (
        ["queries/*.py"],
        ["queries", "modes", "client/test_client_search.py", "client/test_client_listing.py",
         "client/test_client_convert.py", "client/test_client_many_names.py"],
    ),
    "transfer": (["transfer/*.py"], ["transfer"]),
}  # fmt: skip
#: mutmut's statuses of detected mutants. A timeout is not among them, since it may be a hang of the fork.
KILLED = ("killed", "caught by type check")
UNCHANGED = [r"InputError", r"raise \w+", r"log\.\w+", r"warnings\.warn"]


def settings(part: str) -> str:
    """Write mutmut's section of ``pyproject.toml``."""
    files, tests = PARTS[part]
    missing = [name for name in files if not list((ROOT / "src" / "one_async").glob(name))]
    missing += [name for name in tests if not (ROOT / "tests" / name).exists()]
    if missing:
        raise SystemExit(f"part {part}: there is no {', '.join(missing)}")
    lists = {
        "source_paths": ["src"],
        "only_mutate": [f"src/one_async/{name}" for name in files],
        "pytest_add_cli_args": ["-n0", "-p", "no:cacheprovider"],
        "pytest_add_cli_args_test_selection": [f"tests/{name}" for name in tests],
        "do_not_mutate_patterns": UNCHANGED,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in lists.items()]
    lines += [
        'process_isolation = "forkserver"',
        'forkserver_warmup = "none"',  # tests that use Polars on import would leave it locked in each fork
        "track_dependencies = false",
        "use_git_change_detection = false",
    ]
    return "\n[tool.mutmut]\n" + "\n".join(lines) + "\n"


def mutmut(folder: Path, *arguments: str, seconds: float | None = None) -> str:
    """Run mutmut in a folder and return its output; kill it at the timeout."""
    # Subprocesses of tests must import the changed code too, and Python reads the path when it starts.
    env = {**os.environ, "PYTHONPATH": str(folder / "mutants" / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "mutmut", *arguments]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            return process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return process.communicate()[0]


def names(folder: Path) -> list[str]:
    """Return the names of all mutants."""
    found: set[str] = set()
    for meta in (folder / "mutants").rglob("*.meta"):
        found |= json.loads(meta.read_text("utf-8"))["exit_code_by_key"].keys()
    return sorted(found)


def results(folder: Path) -> dict[str, str]:
    """Return the result of each mutant that was tried, by name."""
    lines = mutmut(folder, "results", "--all", "true").splitlines()
    pairs = (line.strip().rpartition(": ") for line in lines if "__mutmut_" in line)
    return {name: status for name, _, status in pairs if status != "not checked"}


def try_part(
    part: str, folder: Path, sample: int | None, seed: int, workers: int, seconds: float | None
) -> dict[str, str]:
    """Make the mutants of a part in a folder, try all or a sample of them, and return their results."""
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    (folder / "pyproject.toml").write_text(text + settings(part), "utf-8")
    (folder / "mutants" / "src").mkdir(parents=True)
    # This makes the mutants and finds the tests that execute each, but tries none.
    output = mutmut(folder, "run", "no.such.mutant")
    made = names(folder)
    if not made or not (folder / "mutants" / "mutmut-stats.json").exists():
        raise SystemExit(f"{part}: mutmut made no mutants\n{output[-4000:]}")
    chosen = made if sample is None else random.Random(seed).sample(made, min(sample, len(made)))
    mutmut(folder, "run", "--max-children", str(workers), *chosen, seconds=seconds)
    print(f"{part}: {len(made)} mutants, {len(chosen)} chosen", flush=True)
    return {name: status for name, status in results(folder).items() if name in set(chosen)}


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="parts to mutate; default: all")
    parser.add_argument("--sample", type=int, help="the number of mutants of each part, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the sample")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2, help="mutants tried concurrently")
    parser.add_argument(
        "--seconds", type=float, help="time limit for the mutants of each part; the rest is not tried"
    )
    parser.add_argument("--least", type=float, default=0, help="the minimum percentage of killed mutants")
    parser.add_argument("--folder", type=Path, help="the folder for the copies, which is kept afterwards")
    given = parser.parse_args(list(arguments) if arguments is not None else None)
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="mutants-"))).resolve()
    enough = True
    for part in given.parts or PARTS:
        place = folder / part
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        tried = try_part(part, place, given.sample, given.seed, given.workers, given.seconds)
        counts = Counter(tried.values())
        killed = sum(counts[status] for status in KILLED)
        share = 100 * killed / len(tried) if tried else 0.0
        enough &= share >= given.least
        print(f"{part}: {killed} of {len(tried)} tried were killed ({share:.0f} %): {dict(counts)}")
        for name, status in sorted(tried.items()):
            if status not in KILLED:
                print(f"    {status}: {name}")
    print(f"the copies are in {folder}")
    return 0 if enough else 1


if __name__ == "__main__":
    raise SystemExit(main())
