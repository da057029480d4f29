#!/usr/bin/env python3
"""Prints what tools/coverage has counted: a line for each room of src/, and one for all; then the files below the target.
Exits with 1 when all together are below it.

usage: llvm-cov-19 export -summary-only ... | coverage_table.py SRC_DIRECTORY
"""
import json
import pathlib
import sys

TARGET = {"lines": 90.0, "branches": 80.0}


class Counts:
    """Of lines and of branches, how many there are and how many of these were taken."""

    def __init__(self) -> None:
        self.there = dict.fromkeys(TARGET, 0)
        self.taken = dict.fromkeys(TARGET, 0)

    def add(self, summary: dict[str, dict[str, int]]) -> None:
        for kind in TARGET:
            self.there[kind] += summary[kind]["count"]
            self.taken[kind] += summary[kind]["covered"]

    def percent(self, kind: str) -> float:
        return 100.0 * self.taken[kind] / self.there[kind] if self.there[kind] else 100.0

    def reaches_target(self) -> bool:
        return all(self.percent(kind) >= target for kind, target in TARGET.items())

    def row(self, name: str) -> str:
        cells = [f"{self.taken[kind]:6d} of {self.there[kind]:6d}  {self.percent(kind):5.1f} %" for kind in TARGET]
        return f"{name:<36}" + "   ".join(cells)


def main(src: pathlib.Path) -> int:
    rooms: dict[str, Counts] = {}
    files: dict[str, Counts] = {}
    all_of_it = Counts()
    for file in json.load(sys.stdin)["data"][0]["files"]:
        path = pathlib.Path(file["filename"])
        if not path.is_relative_to(src):
            continue
        name = path.relative_to(src).as_posix()
        for counts in (rooms.setdefault(name.split("/")[0], Counts()), files.setdefault(name, Counts()), all_of_it):
            counts.add(file["summary"])
    if not files:
        print(f"nothing of {src} was counted", file=sys.stderr)
        return 1
    print(f"{'':<36}{'lines':>25}{'branches':>28}")
    for room in sorted(rooms):
        print(rooms[room].row(f"src/{room}"))
    print(all_of_it.row("src"))
    below = sorted((name for name in files if not files[name].reaches_target()),
                   key=lambda name: files[name].taken["lines"] - files[name].there["lines"])
    if below:
        print(f"\nbelow {TARGET['lines']:.0f} % of lines or {TARGET['branches']:.0f} % of branches, those first that miss most lines:")
    for name in below:
        print(files[name].row(f"src/{name}"))
    return 0 if all_of_it.reaches_target() else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1])))
