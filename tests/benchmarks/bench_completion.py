"""Time completion by key press: ``python tests/benchmarks/bench_completion.py [--folder TABLES] [--json FILE]``.

Makes tables of 100,000 sessions and 3.4 million datasets, or uses those of a folder, and prints for each source the time of the
first key press and the median and longest of twenty more, through IPython's completer.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import Row, save, size_of

HERE = Path(__file__).parent


def measure(folder: str) -> list[Row]:
    """Print the times of each source; return the longest of each after the first key press."""
    rows: list[Row] = []
    from IPython.core.completer import provisionalcompleter
    from IPython.core.interactiveshell import InteractiveShell

    from one_async import ONE
    from one_async.completion.matcher import completions

    with ONE(mode="local", cache_dir=folder) as one:
        one.load_cache()
        eids = one.search(lab="cortexlab")
        reference = one.eid2ref(eids[5], as_dict=False)
        subject = one.get_details(eids[0])["subject"]
        shell = InteractiveShell(user_ns={"one": one, "eid": eids[3], "many": eids, "ref": reference})
        shell.run_line_magic("load_ext", "one_async")
        sources = [
            "one.search(lab='", "one.search(subject='", f"one.search(subject='{subject[:3].lower()}", "one.search(subject='no",
            "one.search(date='2024", "one.search(task='", "one.search(project='", "one.search(datasets='",
            "one.search(datasets='spikes.", "one.search(datasets='zzz", "one.load_object(eid, '", "one.load_object(ref, '",
            "one.load_many(many, '", "one.list_datasets(eid, filename='", "one.list_datasets(filename='",
            "one.list_datasets(eid, collection='",
        ]  # fmt: skip
        print(f"{'':44}{'first':>10}{'median':>10}{'longest':>10}{'IPython':>10}")
        for source in sources:
            times = []
            for _ in range(21):
                start = time.perf_counter()
                completions(source, "", shell.user_ns)
                times.append((time.perf_counter() - start) * 1000)
            with provisionalcompleter():
                start = time.perf_counter()
                list(shell.Completer.completions(source, len(source)))
                whole = (time.perf_counter() - start) * 1000
            rest = times[1:]
            rows.append(Row(f"`{source}`, longest of {len(rest)}", max(rest), unit="ms"))
            numbers = (times[0], statistics.median(rest), max(rest), whole)
            print(f"{source:44}" + "".join(f"{number:7.1f} ms" for number in numbers))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder")
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--datasets", type=int, default=3_400_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        if args.folder is None:
            sizes = ["--sessions", str(args.sessions), "--datasets", str(args.datasets)]
            subprocess.run([sys.executable, str(HERE / "generate.py"), folder, *sizes], check=True)
        rows = measure(folder)
        if args.json:
            save(args.json, __file__, rows, size_of(Path(folder)))


if __name__ == "__main__":
    main()
