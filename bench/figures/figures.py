"""Runs the programs that measure leasepool's own figures, one after the other, and prints their rows; tools/figures
builds them first."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import machine
from machine import CLOCK, PING_PONG, WAKE_UP

M1_TARGET = 200  # nanoseconds

# Rows that are shown as a multiple of what the machine itself can do: by their figure and a part of what they are. The first
# that fits counts.
LIMITED = (
    ("M1", "and release", CLOCK),
    ("M2", "one at a time", PING_PONG),
    ("M2", "in flight", PING_PONG),
    ("M2", "", CLOCK),
    ("D1", "to the caller, p99", WAKE_UP),
    ("", "one at a time: until the callback", PING_PONG),
    ("", "in flight: wall time of a call", PING_PONG),
    ("", "call with a SharedBuffer", PING_PONG),
)


def program_rows(programs, name, quick):
    """What a program under bench/ that prints figures by itself has measured."""
    command = [os.path.join(programs, "bench_" + name), "--json"] + (["--quick"] if quick else [])
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not ended.stdout.strip():
        sys.exit(f"figures: {name} ended with status {ended.returncode} and measured nothing")
    result = json.loads(ended.stdout)
    if ended.returncode != 0:
        result["notes"].append(f"{name} ended with status {ended.returncode}: not all was as it should be")
    return result["rows"], result["notes"]


def acquire_rows(programs, quick):
    """M1, out of Google Benchmark: medians of several repetitions."""
    command = [
        os.path.join(programs, "bench_acquire_release"),
        "--benchmark_format=json",
        "--benchmark_repetitions=" + ("2" if quick else "9"),
        "--benchmark_min_time=" + ("0.01" if quick else "0.3"),
    ]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    names = {
        "with_callback/real_time": "acquire_async and release",
        "with_coroutine/real_time": "co_await acquire and release",
        "manager_alone": "the manager's part of both, on a simulated pool",
    }
    rows = []
    for run in json.loads(ended.stdout)["benchmarks"]:
        if run.get("aggregate_name") != "median":
            continue
        what = names[run["run_name"]]
        aimed = run["run_name"] != "manager_alone"
        row = {"figure": "M1" if aimed else "", "what": what, "value": run["real_time"], "unit": "ns"}
        row["text"] = f"{run['real_time']:.0f} ns"
        if aimed:
            row["target"] = f"at most {M1_TARGET} ns"
            row["reached"] = run["real_time"] <= M1_TARGET
        rows.append(row)
        cpu = {"figure": "", "what": "... CPU time of it", "value": run["cpu_time"], "unit": "ns"}
        rows.append(cpu | {"text": f"{run['cpu_time']:.0f} ns"})
    return rows, ["M1: on a loop that is busy with it; medians of the repetitions. Where CPU time is much less than wall "
                  "time, something else ran on the machine."]


def add_limits(results):
    """Tells of each row that has a limit how many times that it takes."""
    limits = machine.limits_of(results["limits"][0])
    for rows, _ in results.values():
        for row in rows:
            # Where the value is a ratio, what it is of.
            time = row.get("nanoseconds", row["value"] if row["unit"] == "ns" else None)
            name = next((name for figure, part, name in LIMITED if row["figure"] == figure and part in row["what"]), None)
            if time is not None and name is not None:
                row["of_limit"] = machine.multiple_text(machine.multiple(time, name, limits), name)


MEASURES = {
    "limits": lambda programs, quick: program_rows(programs, "limits", quick),
    "M1": acquire_rows,
    "M2": lambda programs, quick: program_rows(programs, "scale", quick),
    "D1": lambda programs, quick: program_rows(programs, "expiry", quick),
    "D2": lambda programs, quick: program_rows(programs, "kills", quick),
    "MIX": lambda programs, quick: program_rows(programs, "mix", quick),
    "R3": lambda programs, quick: program_rows(programs, "large_arguments", quick),
    "W5": lambda programs, quick: program_rows(programs, "orphans", quick),
    "K": lambda programs, quick: program_rows(programs, "clean_workers", quick),
    "C2": lambda programs, quick: program_rows(programs, "idle", quick),
    "N": lambda programs, quick: program_rows(programs, "nodes", quick),
    "S1": lambda programs, quick: program_rows(programs, "viewers", quick),
    "budget": lambda programs, quick: program_rows(programs, "call_budget", quick),
}


def reached_text(row):
    return "" if "target" not in row else "yes" if row["reached"] else "NO"


def print_table(results):
    rows = [row for rows, _ in results.values() for row in rows]
    width = max(len(row["what"]) for row in rows)
    print(f"{'':4} {'':{width}} {'measured':>14}  {'to reach':18} {'reached':7} of the machine's limit")
    for row in rows:
        print(f"{row['figure']:4} {row['what']:{width}} {row['text']:>14}  {row.get('target', ''):18} "
              f"{reached_text(row):7} {row.get('of_limit', '')}".rstrip())
    for name, (_, notes) in results.items():
        for note in notes:
            print(f"{name}: {note.removeprefix(name + ': ')}")
    for name, (rows, _) in results.items():
        aimed = [row for row in rows if "target" in row]
        if aimed:
            print(f"{name}: {sum(row['reached'] for row in aimed)} of {len(aimed)} reached")


def write_markdown(path, results):
    with open(path, "w", encoding="utf-8") as file:
        file.write("| | what | measured | to reach | reached | of the machine's limit |\n"
                   "| --- | --- | ---: | --- | --- | --- |\n")
        for rows, _ in results.values():
            for row in rows:
                target, reached = row.get("target", ""), reached_text(row).lower()
                file.write(f"| {row['figure']} | {row['what']} | {row['text']} | {target} | {reached} | "
                           f"{row.get('of_limit', '')} |\n")


def main():
    parser = argparse.ArgumentParser(prog="tools/figures", usage="see tools/figures --help")
    parser.add_argument("--programs", default=".")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES), metavar="ROW")
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    options = parser.parse_args()
    if options.check:
        return
    about = machine.describe()
    results = {}
    for name, measure in MEASURES.items():
        if name in (*options.only, "limits"):
            print(f"figures: {name}", file=sys.stderr)
            results[name] = measure(options.programs, options.quick)
    add_limits(results)
    print(f"{about['text']}\n")
    print_table(results)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({name: {"rows": rows, "notes": notes} for name, (rows, notes) in results.items()}, file, indent=1)
    if options.markdown:
        write_markdown(options.markdown, results)


main()
