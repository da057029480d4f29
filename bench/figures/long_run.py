"""Runs bench_long_run, says whether what it held and how quick it was stayed flat, and draws both; tools/long-run builds it
first."""

import argparse
import csv
import math
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import machine

# What is held against its first quarter: (column, how it is called, how many times as much is still flat, and how much more
# at least is not). Of the first quarter nothing is left out: what is kept for good is made within seconds.
FLAT = (
    ("resident_bytes", "memory of the program", 1.1, 2 << 20),
    ("resident_bytes_of_all", "memory of all processes", 1.1, 4 << 20),
    ("descriptors", "descriptors of the program", 1.0, 2),
    ("threads", "threads of the program", 1.0, 1),
    ("processes", "processes", 1.0, 1),
)
SHOWN = (
    ("threads_p50_ns", "a thread call, p50"),
    ("threads_p99_ns", "a thread call, p99"),
    ("processes_p50_ns", "a process call, p50"),
    ("processes_p99_ns", "a process call, p99"),
)
# (title, columns, whether its axis is logarithmic, how a value is written)
PANELS = (
    ("From when a call was meant to come until its callback", [column for column, _ in SHOWN], True, "ns"),
    ("Resident memory", ["resident_bytes", "resident_bytes_of_all"], False, "bytes"),
    ("Descriptors, threads and processes", ["descriptors", "threads", "processes"], False, ""),
)
NAMES = {
    **dict(SHOWN),
    "resident_bytes": "the program",
    "resident_bytes_of_all": "with fork servers and workers",
    "descriptors": "descriptors",
    "threads": "threads",
    "processes": "processes",
}
WIDTH, LEFT, RIGHT, TOP, HEIGHT, GAP = 860, 70, 20, 46, 150, 66


def text_of(value: float, unit: str) -> str:
    if unit == "ns":
        for name in ("ns", "us", "ms", "s"):
            if value < 1000 or name == "s":
                return f"{value:.3g} {name}"
            value /= 1000
    return f"{value / (1 << 20):.1f} MiB" if unit == "bytes" else f"{value:.0f}"


def quarter(rows: list[dict], column: str, which: int) -> float:
    size = max(1, len(rows) // 4)
    part = rows[:size] if which == 0 else rows[-size:]
    return statistics.median(float(row[column]) for row in part)


def verdict(rows: list[dict]) -> bool:
    """Prints the first and the last quarter beside each other; whether all that is to be flat is."""
    flat = True
    print(f"{'median of':32}{'the first quarter':>18}{'the last':>14}")
    for column, name, times, more in FLAT:
        first, last = quarter(rows, column, 0), quarter(rows, column, 3)
        holds = last <= first * times or last < first + more
        flat = flat and holds
        unit = "bytes" if column.startswith("resident") else ""
        print(f"{name:32}{text_of(first, unit):>18}{text_of(last, unit):>14}   {'flat' if holds else 'GROWS'}")
    for column, name in SHOWN:
        print(f"{name:32}{text_of(quarter(rows, column, 0), 'ns'):>18}{text_of(quarter(rows, column, 3), 'ns'):>14}")
    return flat


def ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if logarithmic:
        return [10**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    step = 10 ** math.floor(math.log10(max(high, 1)))
    step = next(step * part for part in (0.2, 0.25, 0.5, 1, 2) if high / (step * part) <= 5)
    return [step * i for i in range(int(high / step) + 2)]


def panel(rows: list[dict], at: int, title: str, columns: list[str], logarithmic: bool, unit: str) -> list[str]:
    values = [max(float(row[column]), 1) for row in rows for column in columns]
    scale = 1 << 20 if unit == "bytes" else 1
    marks = [mark * scale for mark in ticks(min(values) / scale, max(values) / scale, logarithmic)]
    place = math.log10 if logarithmic else float
    low, high = place(marks[0]), place(marks[-1])
    last = float(rows[-1]["seconds"])
    bottom = at + HEIGHT

    def x(row):
        return LEFT + float(row["seconds"]) / last * (WIDTH - LEFT - RIGHT)

    def y(value):
        return bottom - (place(max(value, 1)) - low) / (high - low) * HEIGHT if value > 0 or logarithmic else bottom

    lines = [f'<text class="title" x="{LEFT}" y="{at - 24}">{title}</text>']
    for mark in marks:
        lines.append(f'<path class="grid" d="M{LEFT} {y(mark):.1f}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text class="mark" x="{LEFT - 8}" y="{y(mark) + 4:.1f}">{text_of(mark, unit)}</text>')
    along = LEFT
    for number, column in enumerate(columns):
        points = " ".join(f"{x(row):.1f},{y(float(row[column])):.1f}" for row in rows)
        lines.append(f'<polyline class="line of{number}" points="{points}"/>')
        lines.append(f'<path class="line of{number}" d="M{along} {at - 10}h18"/>')
        lines.append(f'<text x="{along + 24}" y="{at - 6}">{NAMES[column]}</text>')
        along += 50 + 7 * len(NAMES[column])
    for part in range(7):
        seconds = last * part / 6
        shown = f"{seconds / 60:.0f} min" if last >= 360 else f"{seconds:.0f} s"
        place_x = LEFT + part / 6 * (WIDTH - LEFT - RIGHT)
        lines.append(f'<text class="along" x="{place_x:.1f}" y="{bottom + 16}">{shown}</text>')
    return lines


def drawing(rows: list[dict], caption: str) -> str:
    height = TOP + len(PANELS) * (HEIGHT + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        "<style>svg{background:#fff}text{fill:#333}.title{font-weight:bold;font-size:14px}.mark{text-anchor:end}"
        ".along{text-anchor:middle}.grid{stroke:#ddd}.line{fill:none;stroke-width:1.5}.of0{stroke:#1668b0}"
        ".of1{stroke:#d9730d}.of2{stroke:#2f8f4e}.of3{stroke:#b3347c}"
        "@media(prefers-color-scheme:dark){svg{background:#1b1d21}text{fill:#d5d8dc}.grid{stroke:#3a3d42}"
        ".of0{stroke:#6db3f2}.of1{stroke:#f0a860}.of2{stroke:#74c98f}.of3{stroke:#e88bc0}}</style>",
    ]
    for number, (title, columns, logarithmic, unit) in enumerate(PANELS):
        lines += panel(rows, TOP + number * (HEIGHT + GAP), title, columns, logarithmic, unit)
    lines.append(f'<text x="{LEFT}" y="{height - 8}">{caption}</text>')
    return "\n".join(lines + ["</svg>", ""])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/long-run", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long (60)")
    parser.add_argument("--rate", type=int, default=100_000, help="calls a second (100000)")
    parser.add_argument("--csv", type=pathlib.Path, help="what was seen from moment to moment")
    parser.add_argument("--svg", type=pathlib.Path, help="the same, drawn")
    parser.add_argument("--programs", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not 0.1 <= given.minutes <= 10_000:
        parser.error(f"--minutes must be from 0.1 to 10000 (got: {given.minutes:g})")
    if not 1000 <= given.rate <= 10_000_000:
        parser.error(f"--rate must be from 1000 to 10000000 (got: {given.rate})")
    return given


def main() -> int:
    given = arguments()
    if given.check:
        return 0
    ended = subprocess.run(
        [f"{given.programs}/bench_long_run", f"--seconds={given.minutes * 60}", f"--rate={given.rate}"],
        stdout=subprocess.PIPE, text=True, check=False)
    rows = list(csv.DictReader(ended.stdout.splitlines()))
    if given.csv:
        given.csv.write_text(ended.stdout)
    if not rows:
        sys.exit("long-run: it ended before anything was seen")
    last = rows[-1]
    here = machine.describe()
    caption = (f"{int(last['calls']):,} calls, {int(last['crashes']):,} crashes, {int(last['expiries']):,} expiries and "
               f"{int(last['restarts']):,} restarts of managers")
    where = f"{here['cores']} processors ({here['processor']}), Linux {'.'.join(here['kernel'].split('.')[:2])}, {here['date']}"
    print(f"{caption}.\n{where}.")
    flat = verdict(rows)
    if given.svg:
        given.svg.write_text(drawing(rows, f"{caption}; {where}"))
    return 0 if flat and ended.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
