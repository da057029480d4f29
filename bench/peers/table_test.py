#!/usr/bin/env python3
"""The tables' arithmetic, on numbers made up."""
import unittest

import table
from machine import CLOCK, FUTEX_PING_PONG, LIMITS, PING_PONG, limits_of, multiple, multiple_text
from table import ECHO, NODES, PACED, PROCESSES, ROWS, RPC_PEERS, THREADS, Row, Run

FASTER = Row("A", "a thing: p50", "one", "p50_ns", THREADS, "libuv", at_most=0.5)
MORE = Row("B", "things/s", "grinder", "calls_per_s", THREADS, "libuv", at_least=1.5, or_ours_at_least=1000,
           their_scenario="flight1024")
BEST = Row("P", "a thing: p50", "one", "p50_ns", PROCESSES, ("grpc", "capnproto", "zeromq"), at_most=0.1)
BEST_RATE = Row("P", "things/s", "flight64", "calls_per_s", PROCESSES, ("grpc", "capnproto", "zeromq"), at_least=2)


def run(number: int, group: str, program: str, scenario: str, **report: float) -> Run:
    return Run(number, group, program, scenario, report or None)


class TableTest(unittest.TestCase):
    def test_the_ratio_is_the_median_of_the_rounds_ratios(self):
        runs = []
        for number, (ours, theirs) in enumerate([(10, 100), (40, 50), (30, 100)]):
            runs += [run(number, "A", THREADS, "one", p50_ns=ours), run(number, "A", "libuv", "one", p50_ns=theirs)]
        line, = table.compute(runs, (FASTER,))
        self.assertEqual((line.ours, line.theirs), (30, 100))
        self.assertAlmostEqual(line.ratio, 0.3)  # of 0.1, 0.8 and 0.3
        self.assertTrue(line.reached)

    def test_a_round_without_its_pair_has_no_ratio(self):
        runs = [run(0, "A", THREADS, "one", p50_ns=90), run(0, "A", "libuv", "one", p50_ns=100),
                run(1, "A", THREADS, "one", p50_ns=1), run(1, "A", "libuv", "one")]
        line, = table.compute(runs, (FASTER,))
        self.assertAlmostEqual(line.ratio, 0.9)
        self.assertFalse(line.reached)

    def test_another_groups_runs_are_no_pair(self):
        runs = [run(0, "A", THREADS, "one", p50_ns=90), run(0, "peers", "libuv", "one", p50_ns=100)]
        line, = table.compute(runs, (FASTER,))
        self.assertEqual((line.ours, line.theirs, line.ratio, line.reached), (90, None, None, None))
        self.assertIn("not measured", table.row_cells([line])[1])

    def test_nothing_measured_is_no_error(self):
        lines = table.compute([])
        self.assertEqual(len(lines), len(ROWS))
        self.assertTrue(all(line.ratio is None for line in lines))
        self.assertEqual(table.overview_cells([])[1:], [])

    def test_a_row_is_reached_by_the_ratio_or_by_our_own_figure(self):
        for ours, theirs, reached in ((900, 600, True), (899, 600, False), (1000, 5000, True)):
            runs = [run(0, "B", THREADS, "grinder", calls_per_s=ours),
                    run(0, "B", "libuv", "flight1024", calls_per_s=theirs)]
            line, = table.compute(runs, (MORE,))
            self.assertEqual(line.reached, reached, (ours, theirs))
        self.assertEqual(MORE.target(), ">= 1.5, or 1,000/s")

    def test_what_an_echo_server_is_to_reach_depends_on_the_one_by_hand(self):
        for by_hand, target, reached in ((130, ">= 1.2", False), (129, ">= 1", True)):
            runs = [run(0, "IO1", ECHO, "1x64", requests_per_s=110),
                    run(0, "IO1", "echo_liburing", "1x64", requests_per_s=by_hand),
                    run(0, "IO1", "echo_asio", "1x64", requests_per_s=100)]
            line = next(line for line in table.compute(runs) if line.row.theirs == "echo_asio" and line.ratio)
            self.assertEqual((line.row.target(), line.reached), (target, reached))

    def test_a_row_with_a_limit_is_shown_as_a_multiple_of_it(self):
        row = Row("A", "a thing: p50", "one", "p50_ns", THREADS, "libuv", at_most=0.5, limit=PING_PONG)
        runs = [run(0, "A", THREADS, "one", p50_ns=500), run(0, "A", "libuv", "one", p50_ns=5000)]
        limits = limits_of([{"what": LIMITS[PING_PONG], "value": 200.0}])
        line, = table.compute(runs, (row,), limits)
        self.assertEqual(table.row_cells([line])[1][-1], "2.5 x ping-pong")
        rate = Row("A", "things/s", "flight64", "calls_per_s", THREADS, "libuv", at_least=1, limit=PING_PONG)
        line, = table.compute([run(0, "A", THREADS, "flight64", calls_per_s=2.5e6)], (rate,), limits)
        self.assertEqual(table.row_cells([line])[1][-1], "2.0 x ping-pong")  # 400 ns each
        line, = table.compute(runs, (row,))
        self.assertEqual(table.row_cells([line])[1][-1], "")

    def test_an_allowance_is_added_to_the_peers_figure(self):
        row = Row("N", "a thing: p50", "one", "p50_ns", NODES, "nats_echo", at_most=1, allowance=(2, FUTEX_PING_PONG))
        runs = [run(0, "N", NODES, "one", p50_ns=60_000), run(0, "N", "nats_echo", "one", p50_ns=50_000)]
        for limit, ratio, reached in ((5_000, 1, True), (4_000, 60 / 58, False)):
            line, = table.compute(runs, (row,), limits_of([{"what": LIMITS[FUTEX_PING_PONG], "value": limit}]))
            self.assertAlmostEqual(line.ratio, ratio)
            self.assertEqual((line.theirs, line.reached), (50_000, reached))
        line, = table.compute(runs, (row,))
        self.assertIsNone(line.reached)

    def test_a_limit_is_found_by_what_it_is_and_dots_stand_for_the_row_before(self):
        limits = limits_of([{"what": "a thing", "value": 4}, {"what": "... on one processor", "value": 2},
                            {"what": LIMITS[CLOCK], "value": 20}])
        self.assertEqual({what: row["value"] for what, row in limits.items()},
                         {"a thing": 4, "a thing on one processor": 2, LIMITS[CLOCK]: 20})
        self.assertEqual(multiple_text(multiple(50, CLOCK, limits), CLOCK), "2.5 x clock reading")
        self.assertEqual(multiple_text(multiple(5000, CLOCK, limits), CLOCK), "250 x clock reading")
        self.assertEqual(multiple_text(multiple(50, PING_PONG, limits), PING_PONG), "")

    def test_of_several_peers_the_best_counts_and_is_named(self):
        runs = [run(0, "P", PROCESSES, "one", p50_ns=6), run(0, "P", "grpc", "one", p50_ns=80),
                run(0, "P", "capnproto", "one", p50_ns=50), run(0, "P", "zeromq", "one")]
        line, = table.compute(runs, (BEST,))
        self.assertEqual((line.peer, line.theirs, line.ratio, line.reached), ("capnproto", 50, 0.12, False))
        self.assertEqual(table.row_cells([line])[1][3], "capnproto, best of 3")
        runs = [run(0, "P", PROCESSES, "flight64", calls_per_s=20), run(0, "P", "grpc", "flight64", calls_per_s=5),
                run(0, "P", "zeromq", "flight64", calls_per_s=10)]
        line, = table.compute(runs, (BEST_RATE,))
        self.assertEqual((line.peer, line.theirs, line.ratio, line.reached), ("zeromq", 10, 2, True))

    def test_a_row_is_measured_with_the_peers_that_are_there(self):
        self.assertEqual(BEST.among(lambda program: True), BEST)
        self.assertEqual(BEST.among(lambda program: program != "grpc").peers(), ("capnproto", "zeromq"))
        self.assertIsNone(BEST.among(lambda program: program == PROCESSES))
        self.assertIsNone(BEST.among(lambda program: program != PROCESSES))
        self.assertIsNone(FASTER.among(lambda program: program != "libuv"))

    def test_processes_are_held_against_the_best_rpc_and_cpu_time_at_three_rates(self):
        by_number = {number: [row for row in ROWS if row.number == number] for number in ("P1", "P2", "C1")}
        (latency,), (rate,) = by_number["P1"], by_number["P2"]
        self.assertEqual((latency.peers(), latency.at_most, rate.peers(), rate.at_least), (RPC_PEERS, 0.1, RPC_PEERS, 2))
        self.assertEqual({(row.ours, row.scenario, row.theirs, row.at_most) for row in by_number["C1"]},
                         {(ours, scenario, "libuv", 1) for ours in (THREADS, PROCESSES) for scenario in PACED.values()})

    def test_echo_servers_have_a_table_of_their_own(self):
        runs = [run(0, "IO2", "echo_asio", "64x64", requests_per_s=1000, p50_ns=100, p99_ns=200, cpu_ns_per_request=50)]
        self.assertEqual(table.echo_cells(runs)[1:],
                         [["64 connections, 64 bytes", "echo_asio", "1,000/s", "100 ns", "200 ns", "50 ns"]])
        self.assertEqual(table.overview_cells(runs)[1:], [])

    def test_each_row_has_one_target(self):
        for row in ROWS:
            self.assertEqual((row.at_most is None) + (row.at_least is None), 1, row)
            self.assertIn(row.ours, (THREADS, PROCESSES, NODES, ECHO))

    def test_the_overview_takes_all_groups_runs(self):
        runs = [run(0, "A", "libuv", "one", p50_ns=1500, p99_ns=2_000_000),
                run(0, "peers", "libuv", "one", p50_ns=500, p99_ns=2_000_000),
                run(1, "A", "libuv", "one", p50_ns=700, p99_ns=2_000_000),
                run(0, "A", "glib", "flight64")]
        cells = table.overview_cells(runs)
        self.assertEqual(cells[1], ["libuv", "700 ns", "2 ms"] + ["-"] * 6)
        self.assertEqual(cells[2], ["glib"] + ["-"] * 8)

    def test_who_does_not_keep_up_is_named(self):
        runs = [run(0, "C1", "glib", "paced10k", calls_per_s=5000, cpu_ns_per_call=1),
                run(0, "C1", "glib", "paced1k", calls_per_s=1000, cpu_ns_per_call=1),
                run(0, "C1", "libuv", "paced10k", calls_per_s=9999, cpu_ns_per_call=1)]
        self.assertEqual(table.fell_behind(runs), ["glib kept up with 50% of 10,000 calls/s"])

    def test_figures_are_short(self):
        self.assertEqual(table.human("p50_ns", 612.4), "612 ns")
        self.assertEqual(table.human("p50_ns", 12_345), "12.3 us")
        self.assertEqual(table.human("calls_per_s", 1_234_567.8), "1,234,568/s")

    def test_both_layouts_hold_all_cells(self):
        cells = [["", "a"], ["row", "1"]]
        self.assertEqual(table.as_text(cells), "     a\nrow  1")
        self.assertEqual(table.as_markdown(cells), "|  | a |\n|---|---|\n| row | 1 |")


if __name__ == "__main__":
    unittest.main()
