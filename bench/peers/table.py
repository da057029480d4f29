"""What leasepool is compared in, with what, and what it is to reach; and the arithmetic from single runs to tables."""
import dataclasses
import pathlib
import statistics
import sys
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import machine
from machine import EVENTFD_PING_PONG, FUTEX_PING_PONG, PING_PONG, SYSTEM_CALL, WAKE_UP

THREADS, PROCESSES, NODES = "leasepool_threads", "leasepool_processes", "leasepool_remote"
FLOORS = {THREADS: "floor_threads", PROCESSES: "floor_processes"}  # the bare protocol with its bookkeeping
ECHO = "echo_leasepool"
ECHO_BY_HAND = "echo_liburing"  # what a server on this kernel can reach


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure: `metric` of `scenario` on the programs `ours` and `theirs`, and the ratio ours / theirs to reach. Of
    several peers the best counts."""
    number: str
    what: str
    scenario: str
    metric: str
    ours: str
    theirs: str | tuple[str, ...]
    at_most: float | None = None
    at_least: float | None = None
    or_ours_at_least: float | None = None  # reached by our own figure alone, too
    their_scenario: str | None = None
    limit: str | None = None  # of machine.LIMITS: what the machine itself takes at least
    allowance: tuple[int, str] | None = None  # so many of that limit are added to theirs: what they need not do
    if_by_hand_at_least: float | None = None  # at_least holds where ECHO_BY_HAND / theirs is that much, and else 1 does

    def peers(self) -> tuple[str, ...]:
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs

    def steps(self) -> list[tuple[str, str]]:
        return [(self.ours, self.scenario), *((peer, self.their_scenario or self.scenario) for peer in self.peers())]

    def among(self, is_there: Callable[[str], bool]) -> "Row | None":
        """The row with those peers alone that are there; none where it cannot be measured."""
        there = tuple([peer for peer in self.peers() if is_there(peer)])
        if not is_there(self.ours) or not there:
            return None
        return self if there == self.peers() else dataclasses.replace(self, theirs=there)

    def given(self, by_hand: float | None) -> "Row":
        """The row with the target that holds for that ratio of ECHO_BY_HAND to theirs."""
        if self.if_by_hand_at_least is None or (by_hand is not None and by_hand >= self.if_by_hand_at_least):
            return self
        return dataclasses.replace(self, at_least=1)

    def target(self) -> str:
        text = f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"
        if self.allowance is not None:
            text += f" of peer + {self.allowance[0]} x {self.allowance[1]}"
        return text + (f", or {self.or_ours_at_least:,.0f}/s" if self.or_ours_at_least is not None else "")

    def reached(self, ours: float, ratio: float) -> bool:
        if self.or_ours_at_least is not None and ours >= self.or_ours_at_least:
            return True
        return ratio <= self.at_most if self.at_most is not None else ratio >= self.at_least


P50, RATE, CPU = "p50_ns", "calls_per_s", "cpu_ns_per_call"
ECHO_RATE, ECHO_CPU = "requests_per_s", "cpu_ns_per_request"
RATES = (RATE, ECHO_RATE)
ECHO_BYTES = (64, 16384)
ECHO_CONNECTIONS = {"IO1": 1, "IO2": 64, "IO3": 1000}
ECHO_SCENARIOS = tuple(f"{connections}x{size}" for connections in ECHO_CONNECTIONS.values() for size in ECHO_BYTES)


def echo_rows(number: str, size: int) -> list[Row]:
    scenario = f"{ECHO_CONNECTIONS[number]}x{size}"
    load = describe_echo(scenario)
    # One connection has its two processes wait for each other.
    limit = EVENTFD_PING_PONG if ECHO_CONNECTIONS[number] == 1 else None
    return [
        Row(number, f"echo requests/s, {load}", scenario, ECHO_RATE, ECHO, ECHO_BY_HAND, at_least=0.9, limit=limit),
        *(Row(number, f"echo requests/s, {load}", scenario, ECHO_RATE, ECHO, peer, at_least=1.2, if_by_hand_at_least=1.3,
              limit=limit)
          for peer in ("echo_asio", "echo_libuv")),
        Row(number, f"CPU time an echo request, {load}", scenario, ECHO_CPU, ECHO, "echo_asio", at_most=1,
            limit=SYSTEM_CALL),
    ]


def paced_row(rate: int, kind: str, ours: str) -> Row:
    # At 1,000 calls/s each comes alone, and has somebody woken for it; at higher rates several share that.
    return Row("C1", f"CPU time a {kind} call, {rate:,} calls/s", PACED[rate], CPU, ours, "libuv", at_most=1,
               limit=FUTEX_PING_PONG if rate == 1000 else None)


def floor_rows(ours: str, kind: str, one: str, many: str) -> list[Row]:
    """What no design reaches is within 30 % of the floor, or the design is not at its end."""
    return [Row(one, f"{kind} call, one at a time: p50, of its floor", "one", P50, ours, FLOORS[ours], at_most=1.3,
                limit=PING_PONG),
            *(Row(many, f"{kind} calls/s, {text} in flight, of their floor", f"flight{flight}", RATE, ours, FLOORS[ours],
                  at_least=0.77, limit=PING_PONG) for flight, text in ((64, "64"), (1024, "1,024")))]


def describe_echo(scenario: str) -> str:
    connections, _, size = scenario.partition("x")
    return f"{int(connections):,} connection{'s' * (connections != '1')}, {int(size):,} bytes"


def node_rows() -> list[Row]:
    """Calls that cross a NATS server, of what the protocol costs by itself, gRPC over TCP and processes of this machine."""
    one, many = "node call, one at a time: p50", "node calls/s, {} in flight"
    return [
        Row("N1", one, "one", P50, NODES, "nats_echo", at_most=1, allowance=(2, FUTEX_PING_PONG)),
        Row("N1", one, "one", P50, NODES, "grpc_tcp", at_most=0.7),
        Row("N2", many.format("64"), "flight64", RATE, NODES, "nats_echo", at_least=0.5),
        Row("N2", many.format("64"), "flight64", RATE, NODES, "grpc_tcp", at_least=8),
        Row("N3", many.format("1,024"), "flight1024", RATE, NODES, PROCESSES, at_least=0.4),
    ]


RPC_PEERS = ("grpc", "capnproto", "zeromq")
PACED = {1_000: "paced1k", 10_000: "paced10k", 100_000: "paced100k"}
ROWS = (
    Row("T1", "thread call, one at a time: p50", "one", P50, THREADS, "libuv", at_most=0.1, limit=PING_PONG),
    Row("T2", "thread calls/s, 64 in flight", "flight64", RATE, THREADS, "libuv", at_least=3, limit=PING_PONG),
    Row("T2", "thread calls/s, 1,024 in flight", "flight1024", RATE, THREADS, "libuv", at_least=2.5, limit=PING_PONG),
    Row("T3", "thread call after 10 ms of idleness: p50", "idle", P50, THREADS, "libuv", at_most=1, limit=WAKE_UP),
    Row("R1", "process call, one at a time: p50", "one", P50, PROCESSES, "socketpair", at_most=0.2,
        limit=PING_PONG),
    Row("R1", "process call, one at a time: p50", "one", P50, PROCESSES, "ProcessPoolExecutor", at_most=0.01,
        limit=PING_PONG),
    Row("R2", "process calls/s, 64 in flight", "flight64", RATE, PROCESSES, "libuv", at_least=2, limit=PING_PONG),
    Row("R2", "process calls/s, 1,024 in flight", "flight1024", RATE, PROCESSES, "libuv", at_least=1.5, limit=PING_PONG),
    Row("R2", "process calls/s, 64 in flight", "flight64", RATE, PROCESSES, "ProcessPoolExecutor", at_least=500,
        limit=PING_PONG),
    *floor_rows(THREADS, "thread", "T1", "T2"),
    *floor_rows(PROCESSES, "process", "R1", "R2"),
    Row("P1", "process call, one at a time: p50", "one", P50, PROCESSES, RPC_PEERS, at_most=0.1, limit=PING_PONG),
    Row("P2", "process calls/s, 64 in flight", "flight64", RATE, PROCESSES, RPC_PEERS, at_least=2, limit=PING_PONG),
    *(paced_row(rate, kind, ours) for rate in PACED for kind, ours in (("thread", THREADS), ("process", PROCESSES))),
    Row("G1", "grinder items/s, 1,024 in flight, against calls/s", "grinder", RATE, THREADS, "libuv", at_least=1.5,
        or_ours_at_least=2_000_000, their_scenario="flight1024"),
    *node_rows(),
    *(row for number in ECHO_CONNECTIONS for size in ECHO_BYTES for row in echo_rows(number, size)),
)

# What all programs but the echo servers are shown in. A report that lacks a metric was not asked for it.
OVERVIEW = (
    ("one: p50", "one", P50),
    ("p99", "one", "p99_ns"),
    ("64: calls/s", "flight64", RATE),
    ("1,024: calls/s", "flight1024", RATE),
    ("after 10 ms: p50", "idle", P50),
    *((f"CPU at {rate:,}/s", scenario, CPU) for rate, scenario in PACED.items()),
)


@dataclasses.dataclass(frozen=True)
class Run:
    """One program's report on one scenario: a number for each metric; none where it failed."""
    round: int
    group: str  # the row's number: ratios are taken within a round and group, which ran side by side
    program: str
    scenario: str
    report: dict | None


@dataclasses.dataclass(frozen=True)
class Line:
    """A row with its figures, each a median over the rounds; none where nothing was measured."""
    row: Row
    peer: str  # the best of the row's
    ours: float | None
    theirs: float | None
    ratio: float | None  # the median of the rounds' ratios
    reached: bool | None
    of_limit: float | None  # ours, as a multiple of the machine's limit


def values(runs: list[Run], program: str, scenario: str, metric: str, group: str | None = None) -> dict[int, float]:
    """By round; where a round has several, the last."""
    return {run.round: run.report[metric] for run in runs
            if (run.program, run.scenario) == (program, scenario) and group in (None, run.group)
            and run.report is not None and metric in run.report}


def median(numbers) -> float | None:
    numbers = list(numbers)
    return statistics.median(numbers) if numbers else None


def ratio_of(ours: dict[int, float], theirs: dict[int, float]) -> float | None:
    """The median of the rounds' ratios."""
    return median(ours[number] / theirs[number] for number in ours if theirs.get(number, 0) > 0)


def compute(runs: list[Run], rows: tuple[Row, ...] = ROWS, limits: dict[str, dict] | None = None) -> list[Line]:
    """`limits`: as machine.limits_of() returns them."""
    lines = []
    for row in rows:
        ours, *measured = (values(runs, program, scenario, row.metric, row.number) for program, scenario in row.steps())
        peer, theirs = best_of(row, measured)
        ratio = ratio_of(ours, theirs if row.allowance is None else add_allowance(row.allowance, theirs, limits or {}))
        row = row.given(ratio_of(values(runs, ECHO_BY_HAND, row.scenario, row.metric, row.number), theirs))
        ours, theirs = median(ours.values()), median(theirs.values())
        of_limit = None
        if ours is not None and row.limit is not None:
            of_limit = machine.multiple(time_of(row, ours), row.limit, limits or {})
        lines.append(Line(row, peer, ours, theirs, ratio, None if ratio is None else row.reached(ours, ratio), of_limit))
    return lines


def add_allowance(allowance: tuple[int, str], theirs: dict[int, float], limits: dict[str, dict]) -> dict[int, float]:
    """Empty where the limit was not measured."""
    times, name = allowance
    limit = limits.get(machine.LIMITS[name], {}).get("value")
    return {} if limit is None else {number: value + times * limit for number, value in theirs.items()}


def best_of(row: Row, measured: list[dict[int, float]]) -> tuple[str, dict[int, float]]:
    """The peer with the best median, and its values by round."""
    peers = list(zip(row.peers(), measured))
    best = max if row.metric in RATES else min
    return best([(peer, by_round) for peer, by_round in peers if by_round] or peers[:1],
                key=lambda each: median(each[1].values()))


def time_of(row: Row, value: float) -> float:
    """In nanoseconds: of a rate what each takes."""
    return 1e9 / value if row.metric in RATES else value


def over_all(runs: list[Run], program: str, scenario: str, metric: str) -> float | None:
    """The median over all its runs, of whatever group."""
    return median(run.report[metric] for run in runs if (run.program, run.scenario) == (program, scenario)
                  and run.report is not None and metric in run.report)


def overview(runs: list[Run]) -> list[tuple[str, list[tuple[str, float | None]]]]:
    """For each program that ran: the metric and its median, column by column."""
    programs = dict.fromkeys(run.program for run in runs if run.scenario not in ECHO_SCENARIOS)
    return [(program, [(metric, over_all(runs, program, scenario, metric)) for _title, scenario, metric in OVERVIEW])
            for program in programs]


def fell_behind(runs: list[Run]) -> list[str]:
    """Programs that did not keep up with the calls offered: their CPU time a call is that of another rate."""
    behind = []
    for rate, scenario in PACED.items():
        for program in dict.fromkeys(run.program for run in runs if run.scenario == scenario):
            made = over_all(runs, program, scenario, RATE)
            if made is not None and made < 0.98 * rate:
                behind.append(f"{program} kept up with {made / rate:.0%} of {rate:,} calls/s")
    return behind


def human(metric: str, value: float | None) -> str:
    if value is None:
        return "-"
    if metric in RATES:
        return f"{value:,.0f}/s"
    for unit, size in (("ms", 1e6), ("us", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} ns"


def row_cells(lines: list[Line]) -> list[list[str]]:
    cells = [["", "what", "leasepool", "peer", "", "ratio", "target", "reached", "of the machine's limit"]]
    for line in lines:
        row = line.row
        peer = line.peer if isinstance(row.theirs, str) else f"{line.peer}, best of {len(row.theirs)}"
        cells.append([row.number, row.what, human(row.metric, line.ours), peer, human(row.metric, line.theirs),
                      "-" if line.ratio is None else f"{line.ratio:.3g}", row.target(),
                      {None: "not measured", True: "yes", False: "no"}[line.reached],
                      machine.multiple_text(line.of_limit, row.limit)])
    return cells


def overview_cells(runs: list[Run]) -> list[list[str]]:
    cells = [["", *(title for title, _scenario, _metric in OVERVIEW)]]
    cells += [[program, *(human(metric, value) for metric, value in row)] for program, row in overview(runs)]
    return cells


def echo_cells(runs: list[Run]) -> list[list[str]]:
    """For each load and each echo server that ran under it: what it did."""
    metrics = {"requests/s": ECHO_RATE, "p50": P50, "p99": "p99_ns", "CPU/request": ECHO_CPU}
    cells = [["", "", *metrics]]
    for scenario in ECHO_SCENARIOS:
        programs = dict.fromkeys(run.program for run in runs if run.scenario == scenario)
        cells += [[describe_echo(scenario), program,
                   *(human(metric, over_all(runs, program, scenario, metric)) for metric in metrics.values())]
                  for program in programs]
    return cells


def as_text(cells: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


def as_markdown(cells: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(cells[0]), *lines[1:]])
