#!/usr/bin/env python3
"""Runs an echo server and, in another process, its client, and prints a line of JSON about both.

usage: measure.py SERVER[:OPTION] CONNECTIONSxBYTES SECONDS
SERVER is one of the programs echo_server_*, and the client is the one beside it. Each has a processor of its own where
there are two. CPU time is the server's, from its first connection to its end, by the requests of all that time.
"""
import json
import os
import pathlib
import subprocess
import sys

NOT_HERE = 3  # the programs' exit code for what this system cannot run, and then ours
SPARE = 20  # seconds beyond the time asked for, on a busy machine


class Ended(Exception):
    """One of the programs, otherwise than it should have."""

    def __init__(self, what: str, code: int):
        super().__init__(f"the {what} ended: exit code {code}")
        self.code = code


def on_processor(number: int):
    """For a child: the server's or the client's processor, so that no run depends on where the kernel puts them."""
    processors = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {processors[number % len(processors)]})


def load(client: pathlib.Path, port: str, connections: str, size: str, seconds: float) -> dict:
    run = subprocess.run([str(client), port, connections, size, f"{seconds:.3f}"], stdout=subprocess.PIPE, text=True,
                         timeout=SPARE + 2 * seconds, preexec_fn=on_processor(1), check=False)
    if run.returncode != 0:
        raise Ended("client", run.returncode)
    return json.loads(run.stdout)


def measure(server: str, scenario: str, seconds: float) -> dict:
    program, _, option = server.partition(":")
    connections, _, size = scenario.partition("x")
    command = [program, size] + ([f"--{option}"] if option else [])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          preexec_fn=on_processor(0)) as running:
        try:
            port = running.stdout.readline().strip()
            seen = load(pathlib.Path(program).with_name("echo_client"), port, connections, size, seconds) if port else {}
            running.stdin.close()  # which ends the server
            served = running.stdout.read()
            if running.wait(SPARE) != 0:
                raise Ended("server", running.returncode)
        except BaseException:
            running.kill()
            raise
    report = json.loads(served)
    return {"peer": report["server"], "version": report["version"], "scenario": scenario, **seen,
            "cpu_ns_per_request": round(report["cpu_ns"] / report["requests"], 1)}


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        print(json.dumps(measure(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
    except Ended as ended:
        print(ended, file=sys.stderr)
        sys.exit(NOT_HERE if ended.code == NOT_HERE else 1)
    except subprocess.TimeoutExpired:
        sys.exit("the client or the server did not end")


if __name__ == "__main__":
    main()
