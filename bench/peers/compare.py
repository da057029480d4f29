"""Runs the peer programs, the echo servers and leasepool in turn and prints what came of it; tools/compare builds them and
calls this."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import table  # first: it is what finds machine
import machine
from table import ECHO, ECHO_BY_HAND, ECHO_SCENARIOS, NODES, PROCESSES, ROWS, THREADS, Row, Run

HERE = pathlib.Path(__file__).parent
ALL_SCENARIOS = ("one", "flight64", "flight1024", "idle", *table.PACED.values())
# Of the other Python executors two scenarios say enough, and each start of theirs takes seconds.
PROGRAMS = {
    THREADS: ALL_SCENARIOS,
    PROCESSES: ALL_SCENARIOS,
    NODES: ALL_SCENARIOS,
    "libuv": ALL_SCENARIOS,
    "asio": ALL_SCENARIOS,
    "onetbb": ALL_SCENARIOS,
    "glib": ALL_SCENARIOS,
    "condvar": ALL_SCENARIOS,
    "socketpair": ("one", "idle"),
    **dict.fromkeys(table.FLOORS.values(), ALL_SCENARIOS[:3]),
    **dict.fromkeys(table.RPC_PEERS, ALL_SCENARIOS),
    "grpc_tcp": ALL_SCENARIOS,
    "nats_echo": ALL_SCENARIOS,
    "libnats": ALL_SCENARIOS,
    "ProcessPoolExecutor": ALL_SCENARIOS[:-1],  # nowhere near 100,000 calls/s
    "ThreadPoolExecutor": ("one", "flight64"),
    "billiard": ("one", "flight64"),
    "pebble": ("one", "flight64"),
    "loky": ("one", "flight64"),
    ECHO: ECHO_SCENARIOS,
    ECHO_BY_HAND: ECHO_SCENARIOS,
    f"{ECHO_BY_HAND}:multishot": ECHO_SCENARIOS,
    "echo_asio": ECHO_SCENARIOS,
    "echo_libuv": ECHO_SCENARIOS,
}
IN_PYTHON = ("ProcessPoolExecutor", "ThreadPoolExecutor", "billiard", "pebble", "loky")
THROUGH_A_SERVER = (NODES, "nats_echo", "libnats")
NOT_HERE = 3  # exit code of python_peers.py, of echo/measure.py and of what finds no nats-server
WHY_NOT_BUILT = {  # others are not installed
    ECHO: "there is no leasepool/stream.hpp",
    **dict.fromkeys(("grpc", "grpc_tcp"), "grpc++, protobuf, protoc or grpc_cpp_plugin is not installed"),
    **dict.fromkeys(THROUGH_A_SERVER, "nats-server, or what it is built with, is not installed"),
    "capnproto": "capnp-rpc or its compiler capnp is not installed",
}
GROUPS = (*dict.fromkeys(row.number for row in ROWS), "peers")


def parse_arguments() -> argparse.Namespace:
    def at_least(kind, least):
        def convert(text):
            value = kind(text)
            if not value >= least:
                raise argparse.ArgumentTypeError(f"at least {least} (got: {text})")
            return value
        return convert

    def file_to_write(text):
        if not os.access(pathlib.Path(text).absolute().parent, os.W_OK):
            raise argparse.ArgumentTypeError(f"cannot be written there: {text}")
        return pathlib.Path(text)

    parser = argparse.ArgumentParser(prog="tools/compare", add_help=False)
    parser.add_argument("--programs", type=pathlib.Path, help=argparse.SUPPRESS)  # none: only parse
    parser.add_argument("--rounds", type=at_least(int, 1), default=5)
    parser.add_argument("--seconds", type=at_least(float, 0.02), default=1.0)
    parser.add_argument("--only", nargs="+", choices=GROUPS, metavar="ROW", default=GROUPS)
    parser.add_argument("--json", type=file_to_write, metavar="FILE")
    parser.add_argument("--markdown", type=file_to_write, metavar="FILE")
    return parser.parse_args()


def plan(rows: list[Row], only: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """One round: (group, program, scenario), leasepool right before those that it is compared with."""
    steps = [(row.number, program, scenario) for row in rows if row.number in only for program, scenario in row.steps()]
    in_rows = {(program, scenario) for row in rows for program, scenario in row.steps()}
    if "peers" in only:
        steps += [("peers", program, scenario) for program, scenarios in PROGRAMS.items() for scenario in scenarios
                  if (program, scenario) not in in_rows]
    return list(dict.fromkeys(steps))


def is_echo(program: str) -> bool:
    return program.startswith("echo_")


def path_of(programs: pathlib.Path, program: str) -> pathlib.Path:
    """What is built for it, which may have an option behind a colon; not asked of those in Python."""
    name, _, _option = program.partition(":")
    if is_echo(name):
        return programs.parent / "echo" / name.replace("echo_", "echo_server_")
    return programs / f"peer_{name}"


def command_of(programs: pathlib.Path, program: str) -> list[str]:
    if program in IN_PYTHON:
        return [sys.executable, str(HERE / "python_peers.py"), program]
    path = str(path_of(programs, program))
    if is_echo(program):
        _name, colon, option = program.partition(":")
        return [sys.executable, str(HERE.parent / "echo" / "measure.py"), path + colon + option]
    return [path]


class Comparison:
    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.runs: list[Run] = []
        self.versions: dict[str, str] = {}
        self.left_out: list[str] = []
        self.failures: list[str] = []
        self.machine = machine.describe()
        self.limits = self.measure_limits()
        self.rows = [there for row in ROWS if (there := row.among(self.is_installed)) is not None]

    def run(self) -> None:
        steps = [step for step in plan(self.rows, self.arguments.only) if self.is_installed(step[1])]
        begin = time.monotonic()
        total = len(steps) * self.arguments.rounds
        for number in range(self.arguments.rounds):
            for group, program, scenario in steps:
                self.show_progress(number, f"{group} {program} {scenario}", total, time.monotonic() - begin)
                if program not in self.left_out:
                    self.runs.append(Run(number, group, program, scenario, self.measure(group, program, scenario)))
        clear_progress()

    def is_installed(self, program: str) -> bool:
        if program not in IN_PYTHON and not os.access(path_of(self.arguments.programs, program), os.X_OK):
            self.leave_out(program)
        return program not in self.left_out

    def leave_out(self, program: str) -> None:
        if program not in self.left_out:
            self.left_out.append(program)

    def measure(self, group: str, program: str, scenario: str) -> dict | None:
        # What has no target to reach is measured for half as long.
        seconds = self.arguments.seconds / (2 if group == "peers" else 1)
        command = [*command_of(self.arguments.programs, program), scenario, f"{seconds:.3f}"]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=30 + 3 * seconds, check=False)
        except subprocess.TimeoutExpired:
            self.failures.append(f"{program} {scenario}: did not end")
            return None
        if (program in IN_PYTHON + THROUGH_A_SERVER or is_echo(program)) and run.returncode == NOT_HERE:
            self.leave_out(program)
            return None
        if run.returncode != 0:
            how = f"signal {-run.returncode}" if run.returncode < 0 else f"exit code {run.returncode}"
            self.failures.append(": ".join([f"{program} {scenario}", how, *run.stderr.strip().splitlines()[-1:]]))
            return None
        report = json.loads(run.stdout)
        self.versions[program] = report["version"]
        return report

    def measure_limits(self) -> dict[str, dict]:
        """What this machine can do at best, by what it is."""
        program = self.arguments.programs.parent / "bench_limits"
        run = subprocess.run([str(program), "--json"], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            self.failures.append(f"limits: exit code {run.returncode}")
            return {}
        return machine.limits_of(json.loads(run.stdout)["rows"])

    def show_progress(self, number: int, what: str, total: int, elapsed: float) -> None:
        done = len(self.runs)
        left = f", {elapsed / done * (total - done):.0f} s left" if done >= 5 else ""
        line = f"round {number + 1} of {self.arguments.rounds}: {done} of {total} done{left}: {what}"
        if sys.stderr.isatty():
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif done % 10 == 0:
            print(line, file=sys.stderr, flush=True)

    def notes(self) -> list[str]:
        notes = [self.why_left_out(program) for program in self.left_out]
        notes += [f"failed: {failure}" for failure in dict.fromkeys(self.failures)]
        return notes + table.fell_behind(self.runs)

    def why_left_out(self, program: str) -> str:
        numbers = dict.fromkeys(row.number for row in ROWS if row.number in self.arguments.only
                                and program in dict(row.steps()) and row.among(self.is_installed) is None)
        lost = f", and with it what compares it: {', '.join(numbers)}" if numbers else ""
        return f"left out: {program}, {WHY_NOT_BUILT.get(program, 'not installed')}{lost}"

    def lines(self) -> list[table.Line]:
        return table.compute(self.runs, tuple(row for row in self.rows if row.number in self.arguments.only), self.limits)

    def sections(self, layout) -> list[str]:
        versions = ", ".join(f"{program} {version}" for program, version in self.versions.items() if version)
        how = (f"{self.arguments.rounds} rounds of {self.arguments.seconds:g} s, two workers, 8 bytes there and back, "
               "a function that does nothing. Figures are medians; ratios are the median of the rounds' ratios, "
               "leasepool's figure by the peer's. An echo server has one thread and a processor of its own; its client "
               "is another process.")
        tables = [table.row_cells(self.lines()), table.overview_cells(self.runs), table.echo_cells(self.runs)]
        limits = ", ".join(f"{what} {row['text']}" for what, row in self.limits.items())
        sections = [f"{self.machine['text']}\nThe machine itself, at best: {limits}.\n{how}",
                    *(layout(cells) for cells in tables if len(cells) > 1), f"Versions: {versions}."]
        return sections + ["\n".join(f"- {note}" for note in self.notes())] * bool(self.notes())

    def as_json(self) -> dict:
        return {
            "machine": self.machine, "limits": {what: row["value"] for what, row in self.limits.items()},
            "rounds": self.arguments.rounds, "seconds": self.arguments.seconds,
            "versions": self.versions, "notes": self.notes(),
            "rows": [{"number": line.row.number, "what": line.row.what, "metric": line.row.metric,
                      "leasepool": line.ours, "peer": line.peer, "peers": line.theirs, "ratio": line.ratio,
                      "target": line.row.target(), "reached": line.reached} for line in self.lines()],
            "runs": [{"round": run.round, "group": run.group, "program": run.program, "scenario": run.scenario,
                      "report": run.report} for run in self.runs],
        }


def clear_progress() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def main() -> int:
    arguments = parse_arguments()
    if arguments.programs is None:
        return 0
    comparison = Comparison(arguments)
    comparison.run()
    print("\n\n".join(comparison.sections(table.as_text)))
    if arguments.json:
        arguments.json.write_text(json.dumps(comparison.as_json(), indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text("\n\n".join(comparison.sections(table.as_markdown)) + "\n", encoding="utf-8")
    return 1 if comparison.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        clear_progress()
        sys.exit(130)
