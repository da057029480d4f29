"""The machine that figures are taken on: what it is, and what it can do at best (bench/limits.cpp), so that a figure can
be told as a multiple of that."""
import datetime
import os
import pathlib
import platform

# By the name that a multiple is shown with: how bench/limits.cpp calls it.
PING_PONG, WAKE_UP = "ping-pong", "wake-up"
FUTEX_PING_PONG, EVENTFD_PING_PONG = "futex ping-pong on one processor", "eventfd ping-pong"
CLOCK, SYSTEM_CALL = "clock reading", "system call"
LIMITS = {
    PING_PONG: "two threads' round trip over two cache lines",
    WAKE_UP: "a wake-up on one processor after 10 ms of idleness",
    FUTEX_PING_PONG: "two threads' round trip that sleep on futexes on one processor",
    EVENTFD_PING_PONG: "two threads' round trip that sleep on eventfds",
    CLOCK: "a reading of the clock",
    SYSTEM_CALL: "a system call",
}


def limits_of(rows: list[dict]) -> dict[str, dict]:
    """The rows that bench_limits printed, by what each is: `...` there stands for the row before."""
    limits = {}
    for row in rows:
        what = row["what"]
        if what.startswith("... "):
            what = what.replace("...", list(limits)[-1], 1)
        limits[what] = row
    return limits


def multiple(nanoseconds: float, name: str, limits: dict[str, dict]) -> float | None:
    """How many times the limit of that name it is; none where that was not measured."""
    limit = limits.get(LIMITS[name], {}).get("value")
    return nanoseconds / limit if limit else None


def multiple_text(times: float | None, name: str | None) -> str:
    return "" if times is None else f"{times:.{1 if times < 10 else 0}f} x {name}"


def describe() -> dict:
    def value_of(path: str, name: str) -> str:
        try:
            lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
        except OSError:
            return "unknown"
        found = (line for line in lines if line.startswith(name))
        return next(found, "=unknown").replace(":", "=", 1).partition("=")[2].strip(' "')

    machine = {
        "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(),
        "processor": value_of("/proc/cpuinfo", "model name"), "system": value_of("/etc/os-release", "PRETTY_NAME"),
        "load": round(os.getloadavg()[0], 2), "date": datetime.date.today().isoformat(),
    }
    machine["text"] = (f"{machine['cores']} cores ({machine['processor']}), Linux {machine['kernel']}, "
                       f"{machine['system']}, {machine['date']}, load average {machine['load']} before it began.")
    return machine
