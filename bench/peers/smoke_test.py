#!/usr/bin/env python3
"""Runs peer programs for an instant on each of their scenarios, and checks the line that each prints; and that what has
worker processes leaves none behind, however it ends.

usage: smoke_test.py PROGRAM...
"""
import json
import os
import pathlib
import select
import subprocess
import sys
import time

BACK_TO_BACK = ["one", "flight64", "flight1024"]
SCENARIOS = [*BACK_TO_BACK, "idle", "paced1k", "paced10k", "paced100k"]
FEWER_SCENARIOS = {"peer_socketpair": ["one", "idle"], "peer_floor_threads": BACK_TO_BACK,
                   "peer_floor_processes": BACK_TO_BACK}
WORKERS = {"peer_socketpair": 1, "peer_floor_processes": 1, "peer_grpc": 2, "peer_capnproto": 2, "peer_zeromq": 2, "peer_grpc_tcp": 2,
           "peer_leasepool_remote": 2, "peer_nats_echo": 2, "peer_libnats": 2}  # those three: one, and a nats-server
NO_NATS_SERVER = 3  # exit code
LIMIT = 60  # seconds, generous: nothing takes long


def can_run(program: str) -> bool:
    run = subprocess.run([program, "one", "0.01"], capture_output=True, text=True, timeout=LIMIT, check=False)
    if run.returncode == NO_NATS_SERVER:
        print(f"skipped: {pathlib.Path(program).name}: {run.stderr.strip()}")
    return run.returncode != NO_NATS_SERVER


def check(program: str, scenario: str) -> None:
    run = subprocess.run([program, scenario, "0.05"], capture_output=True, text=True, timeout=LIMIT, check=False)
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


def children_of(process: int) -> list[int]:
    return [int(child) for child in pathlib.Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def check_that_none_is_left(program: str, workers: int) -> None:
    killed = subprocess.Popen([program, "one", str(LIMIT)], stdout=subprocess.DEVNULL)
    until = time.monotonic() + LIMIT
    while len(children := children_of(killed.pid)) < workers:
        assert killed.poll() is None and time.monotonic() < until, f"{program}: {len(children)} of {workers} workers"
        time.sleep(0.01)
    watched = [os.pidfd_open(child) for child in children]
    killed.kill()
    killed.wait()
    for child in watched:
        ended, _, _ = select.select([child], [], [], LIMIT)
        assert ended, f"{program}: a worker outlives it"
        os.close(child)


def main() -> None:
    for program in sys.argv[1:]:
        name = pathlib.Path(program).name
        if not can_run(program):
            continue
        scenarios = FEWER_SCENARIOS.get(name, SCENARIOS)
        for scenario in scenarios + (["grinder"] if "leasepool" in name else []):
            check(program, scenario)
        if name in WORKERS:
            check_that_none_is_left(program, WORKERS[name])
        misused = subprocess.run([program, "no such scenario", "1"], capture_output=True, text=True, check=False)
        assert misused.returncode == 1 and "usage" in misused.stderr, f"{program}: {misused}"


if __name__ == "__main__":
    main()
