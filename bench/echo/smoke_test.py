#!/usr/bin/env python3
"""Loads each echo server with two connections for an instant, and checks what it and the client say of it.

usage: smoke_test.py SERVER...     with echo_client beside them
"""
import pathlib
import signal
import subprocess
import sys

from measure import NOT_HERE, Ended, measure

SCENARIOS = ("2x64", "2x16384")
SKIPPED = 77  # meson's


def check(server: str, scenario: str) -> None:
    report = measure(server, scenario, 0.05)
    where = f"{server} {scenario}: {report}"
    assert pathlib.Path(server.partition(":")[0]).name == f"echo_server_{report['peer']}", where
    assert report["requests"] > 0 and report["requests_per_s"] > 0, where
    assert 0 < report["p50_ns"] <= report["p99_ns"], where
    assert report["cpu_ns_per_request"] >= 0, where


def runs_here(server: str) -> bool:
    """Whether the system has the parts of io_uring that the server and its client need."""
    try:
        for scenario in SCENARIOS:
            check(server, scenario)
    except Ended as ended:
        if ended.code != NOT_HERE:
            raise
        return False
    return True


def check_ends_on_a_signal(server: str) -> None:
    with subprocess.Popen([server, "64"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert int(running.stdout.readline()) > 0, server
        running.send_signal(signal.SIGTERM)
        assert '"requests": 0' in running.stdout.read(), server
        assert running.wait(60) == 0, server


def main() -> int:
    for server in sys.argv[1:]:
        if not runs_here(server):
            return SKIPPED
        if server.endswith("_liburing"):
            runs_here(f"{server}:multishot")
        check_ends_on_a_signal(server)
        misused = subprocess.run([server, "no size"], capture_output=True, text=True, check=False)
        assert misused.returncode == 1 and "usage" in misused.stderr, f"{server}: {misused}"
    return 0


if __name__ == "__main__":
    sys.exit(main())
