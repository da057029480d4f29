#!/usr/bin/env python3
"""The same work as the C++ peers do, on one of Python's executors: two workers, an 8-byte argument and result, a
function that does nothing. Prints one line of JSON.

usage: python_peers.py EXECUTOR SCENARIO SECONDS
EXECUTOR: one of EXECUTORS below; the exit code is 3 where its module is not installed.
SCENARIO: one, flight64, flight1024, idle, paced1k, paced10k, as in report.hpp.

There is no event loop: the caller waits for the result, which is the least that Python can do. In flight, it waits for
the oldest and starts another for it.
"""
import collections
import importlib
import json
import multiprocessing
import pathlib
import sys
import time

WORKERS = 2
PACED_PER_SECOND = {"paced1k": 1_000, "paced10k": 10_000}
IN_FLIGHT = {"one": 1, "flight64": 64, "flight1024": 1024, "idle": 1, **dict.fromkeys(PACED_PER_SECOND, 4096)}
EIGHT_BYTES = 1 << 62  # added to each argument: a small int would take fewer bytes on its way
NOT_INSTALLED = 3


def nothing(argument: int) -> int:
    return argument


class Futures:
    """An executor whose submit gives futures."""

    def __init__(self, executor):
        self.submit = lambda argument: executor.submit(nothing, argument)
        self.shut_down = executor.shutdown

    result = staticmethod(lambda future: future.result())
    done = staticmethod(lambda future: future.done())


class Pebble(Futures):
    def __init__(self, pool):
        self.submit = lambda argument: pool.schedule(nothing, args=[argument])
        self.pool = pool

    def shut_down(self) -> None:
        self.pool.close()
        self.pool.join()


class Billiard:
    def __init__(self, pool):
        self.submit = lambda argument: pool.apply_async(nothing, (argument,))
        self.pool = pool

    result = staticmethod(lambda pending: pending.get())
    done = staticmethod(lambda pending: pending.ready())

    def shut_down(self) -> None:
        self.pool.close()
        self.pool.join()


# Of each: the module to import, what to make of it, and the module that has its version, where it is not Python's own.
EXECUTORS = {
    "ProcessPoolExecutor": ("concurrent.futures", lambda module: Futures(
        module.ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("fork"))), None),
    "ThreadPoolExecutor": ("concurrent.futures", lambda module: Futures(module.ThreadPoolExecutor(WORKERS)), None),
    "billiard": ("billiard", lambda module: Billiard(module.Pool(WORKERS)), "billiard"),
    "pebble": ("pebble", lambda module: Pebble(module.ProcessPool(max_workers=WORKERS)), "pebble"),
    # joblib's own executor, without joblib.Parallel around it, which is made for few long calls.
    "loky": ("joblib.externals.loky", lambda module: Futures(module.get_reusable_executor(max_workers=WORKERS)),
             "joblib"),
}


def version_of(module: str | None) -> str:
    if module is None:
        return "Python " + sys.version.split()[0]
    return getattr(importlib.import_module(module), "__version__", "of unknown version")


class TreeCpuTime:
    """User and system time of this process and all below it, in nanoseconds."""

    def __init__(self):
        children = collections.defaultdict(list)
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                # Behind the name in parentheses, which may hold anything: state and parent.
                children[int(stat.read_text().rpartition(")")[2].split()[1])].append(int(stat.parent.name))
            except OSError:
                pass  # it has ended
        self.processes = [multiprocessing.current_process().pid]
        for process in self.processes:
            self.processes += children[process]

    def read(self) -> int:
        # A process's clock by its number, as clock_getcpuclockid(3) makes it.
        return sum(time.clock_gettime_ns((~process << 3) | 2) for process in self.processes)


class Measurement:
    def __init__(self, peer, scenario: str, seconds: float):
        self.peer = peer
        self.scenario = scenario
        self.in_flight = IN_FLIGHT[scenario]
        self.pending = collections.deque()
        self.run_for(max(seconds / 5, 0.05))  # starts the workers, too
        cpu_time = TreeCpuTime()
        cpu_before = cpu_time.read()
        self.run_for(seconds)
        self.cpu = cpu_time.read() - cpu_before
        for _argument, _begun, future in self.pending:
            peer.result(future)

    def run_for(self, seconds: float) -> None:
        self.calls, self.ticks, self.latencies = 0, 0, []
        begin = time.monotonic_ns()
        how = {"idle": self.one_after_idleness, **dict.fromkeys(PACED_PER_SECOND, self.by_schedule)}.get(
            self.scenario, self.back_to_back)
        how(begin, begin + int(seconds * 1e9))
        self.elapsed = (time.monotonic_ns() - begin) / 1e9

    def take_oldest(self) -> None:
        argument, begun, future = self.pending.popleft()
        if self.peer.result(future) != argument:
            sys.exit("a call returned another's result")
        self.latencies.append(time.monotonic_ns() - begun)
        self.calls += 1

    def start(self) -> None:
        argument = EIGHT_BYTES + self.calls
        self.pending.append((argument, time.monotonic_ns(), self.peer.submit(argument)))

    def back_to_back(self, _begin: int, end: int) -> None:
        while time.monotonic_ns() < end:
            while len(self.pending) < self.in_flight:
                self.start()
            self.take_oldest()

    def one_after_idleness(self, _begin: int, end: int) -> None:
        while time.monotonic_ns() < end:
            time.sleep(0.01)
            self.start()
            self.take_oldest()

    def by_schedule(self, begin: int, end: int) -> None:
        started = 0
        while (now := time.monotonic_ns()) < end:
            self.ticks += 1
            due = (now - begin) * PACED_PER_SECOND[self.scenario] // 1_000_000_000
            while started < due and len(self.pending) < self.in_flight:
                self.start()
                started += 1
            while self.pending and self.peer.done(self.pending[0][2]):
                self.take_oldest()
            time.sleep(0.001)

    def report(self, executor: str, version: str) -> dict:
        if self.calls == 0:
            sys.exit("no call ended in the time given")
        report = {
            "peer": executor, "version": version, "scenario": self.scenario, "seconds": round(self.elapsed, 3),
            "calls": self.calls, "calls_per_s": round(self.calls / self.elapsed, 1),
            "cpu_ns_per_call": round(self.cpu / self.calls, 1),
        }
        # With many in flight only the rate is asked for, and by schedule ends are seen at the next tick only.
        if self.in_flight == 1:
            self.latencies.sort()
            report["p50_ns"] = self.latencies[len(self.latencies) // 2]
            report["p99_ns"] = self.latencies[len(self.latencies) * 99 // 100]
        if self.scenario in PACED_PER_SECOND:
            report["offered_per_s"] = PACED_PER_SECOND[self.scenario]
            report["ticks_per_s"] = round(self.ticks / self.elapsed, 1)
        return report


def main() -> None:
    if len(sys.argv) != 4 or sys.argv[1] not in EXECUTORS or sys.argv[2] not in IN_FLIGHT:
        sys.exit(f"{__doc__}\nEXECUTORS: {', '.join(EXECUTORS)}")
    executor, scenario, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    module, make, versioned = EXECUTORS[executor]
    try:
        imported = importlib.import_module(module)
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_INSTALLED)
    peer = make(imported)
    report = Measurement(peer, scenario, seconds).report(executor, version_of(versioned))
    peer.shut_down()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
