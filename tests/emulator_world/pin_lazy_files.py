"""Write ``seeded_lazy.txt``: size and MD5 of the seeded world's files that are generated only when they are read."""

from __future__ import annotations

from pathlib import Path

from one_async.emulator import seeded, seeded_datasets, seeded_lazy


def main() -> None:
    found: dict[str, tuple[int, str]] = {}

    def pinned(path: str, make: seeded_lazy.Maker) -> seeded_lazy.Made:
        data = make()
        made = make, len(data), seeded_lazy.md5_of(data)
        found[path] = made[1:]
        return made

    seeded.pinned = seeded_datasets.pinned = pinned
    seeded.world()
    lines = (f"{path} {size} {md5}\n" for path, (size, md5) in sorted(found.items()))
    Path(seeded_lazy.__file__).with_name(seeded_lazy.LISTED).write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    main()
