#!/usr/bin/env python3
"""Runs peer programs for an instant on each of their scenarios, and checks the line that each prints.

usage: smoke_test.py PROGRAM...
"""
import json
import pathlib
import subprocess
import sys

SCENARIOS = ["one", "flight64", "flight1024", "idle", "paced1k", "paced10k", "paced100k"]


def check(program: str, scenario: str) -> None:
    run = subprocess.run([program, scenario, "0.05"], capture_output=True, text=True, timeout=60, check=False)
    where = f"{program} {scenario}"
    assert run.returncode == 0, f"{where}: exit code {run.returncode}: {run.stderr}"
    lines = run.stdout.splitlines()
    assert len(lines) == 1, f"{where} printed: {run.stdout}"
    report = json.loads(lines[0])
    assert report["scenario"] == scenario and report["peer"], lines[0]
    # Not exactly as long as asked: some loops count a timer from the beginning of their turn.
    assert report["calls"] > 0 and report["calls_per_s"] > 0 and report["seconds"] > 0, lines[0]
    assert report["cpu_ns_per_call"] >= 0, lines[0]
    if scenario in ("one", "idle") or scenario.startswith("paced"):
        assert 0 < report["p50_ns"] <= report["p99_ns"], lines[0]


def main() -> None:
    for program in sys.argv[1:]:
        name = pathlib.Path(program).name
        scenarios = ["one", "idle"] if name == "peer_socketpair" else SCENARIOS
        for scenario in scenarios + (["grinder"] if "leasepool" in name else []):
            check(program, scenario)
        misused = subprocess.run([program, "no such scenario", "1"], capture_output=True, text=True, check=False)
        assert misused.returncode == 1 and "usage" in misused.stderr, f"{program}: {misused}"


if __name__ == "__main__":
    main()
