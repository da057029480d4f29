// The grinder's stats in their three formats.
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "leasepool/grinder_stats.hpp"

using namespace std::chrono_literals;

namespace {

leasepool::GrinderStats sample() {
  return {.grinder = "a \"grinder\"",
          .started = true,
          .pending = 3,
          .oldest_wait = 1500ms,
          .waiting_for_room = 1,
          .pending_by_owner = {{"", 1}, {"x\n", 2}},
          .batches_waiting = 1,
          .batches_in_flight = 2,
          .items_in_flight = 9,
          .batch_size_threshold = 5,
          .max_wait = 10s,
          .lease_duration = leasepool::Duration::max(),
          .max_pending = 4,
          .max_inflight_batches = 3,
          .items_submitted = 40,
          .items_refused = 6,
          .items_completed = 25,
          .items_failed = 2,
          .items_cancelled = 1,
          .batches_flushed = 8,
          .flushed_by_size = 5,
          .flushed_by_age = 2,
          .flushed_by_stop = 1,
          .batches_without_lease = 1,
          .batches_split = 2,
          .batch_sizes = {{1, 1}, {3, 2}, {5, 5}},
          .item_wait = {.count = 37,
                        .p50 = 2ms,
                        .p99 = 9ms,
                        .max = 10ms,
                        .sum = 150s,
                        .buckets = {{512ns, 3}, {2048ns, 4}, {1073741824ns, 29}, {137438953472ns, 1}}},
          .item_total = {},
          .items_put_back = 7};
}

}  // namespace

TEST_CASE("a grinder's stats as text", "[grinder_stats]") {
  CHECK(to_text(sample()) ==
        "a \"grinder\" (grinder): running\n"
        "  batches of      5 items, or what there is after 10 s; leases without end\n"
        "  pending         3 of at most 4 items, the oldest for 1500 ms; 1 wait for room\n"
        "  in flight       2 of at most 3 batches with 9 items; 1 wait for a lease\n"
        "  items           40 submitted, 25 completed, 2 failed, 1 cancelled; 6 refused\n"
        "  batches         8 flushed: 5 by size, 2 by age, 1 by stop; 1 got no lease, 2 split, 7 items put back\n"
        "  batch size      p50 5, p99 5, max 5 (8)\n"
        "  item wait       p50 2 ms, p99 9 ms, max 10 ms (37)\n"
        "  item total      none yet\n"
        "  1 pending of an unnamed owner\n"
        "  2 pending of \"x\\x0a\"\n");
  leasepool::GrinderStats idle;
  idle.grinder = "idle";
  CHECK(to_text(idle).find("idle (grinder): not running\n") == 0);
  CHECK(to_text(idle).find("batch size      none yet\n") != std::string::npos);
}

TEST_CASE("a grinder's stats as JSON", "[grinder_stats]") {
  CHECK(
      to_json(sample()) ==
      R"({"grinder":"a \"grinder\"","started":true,"stopping":false,"pending":3,"oldest_wait":1.5,)"
      R"("waiting_for_room":1,"pending_by_owner":[{"owner":"","items":1},{"owner":"x\u000a","items":2}],)"
      R"("batches_waiting":1,"batches_in_flight":2,"items_in_flight":9,"batch_size_threshold":5,"max_wait":10,)"
      R"("lease_duration":null,"max_pending":4,"max_inflight_batches":3,"items_submitted":40,"items_refused":6,)"
      R"("items_completed":25,"items_failed":2,"items_cancelled":1,"batches_flushed":8,"flushed_by_size":5,)"
      R"("flushed_by_age":2,"flushed_by_stop":1,"batches_without_lease":1,"batches_split":2,"items_put_back":7,"batch_sizes":)"
      R"([{"items":1,"batches":1},{"items":3,"batches":2},{"items":5,"batches":5}],"item_wait":)"
      R"({"count":37,"p50":0.002,"p99":0.009,"max":0.01,"sum":150,)"
      R"("buckets":[{"below":0.000000512,"count":3},{"below":0.000002048,"count":4},)"
      R"({"below":1.073741824,"count":29},{"below":137.438953472,"count":1}]},)"
      R"("item_total":{"count":0,"p50":0,"p99":0,"max":0,"sum":0,"buckets":[]}})");
}

TEST_CASE("a grinder's stats as Prometheus text", "[grinder_stats]") {
  const std::string text = to_prometheus(sample());
  const auto has = [&](const std::string& line) { return text.find(line + "\n") != std::string::npos; };
  CHECK(has("# TYPE leasepool_grinder_pending gauge"));
  CHECK(has(R"(leasepool_grinder_pending{grinder="a \"grinder\""} 3)"));
  CHECK(has(R"(leasepool_grinder_oldest_wait_seconds{grinder="a \"grinder\""} 1.5)"));
  CHECK(has(R"(leasepool_grinder_batches_total{grinder="a \"grinder\"",reason="age"} 2)"));
  CHECK(has(R"(leasepool_grinder_items_total{grinder="a \"grinder\"",outcome="cancelled"} 1)"));
  CHECK(has("# TYPE leasepool_grinder_batch_items histogram"));
  CHECK(has(R"(leasepool_grinder_batch_items_bucket{grinder="a \"grinder\"",le="1"} 1)"));
  CHECK(has(R"(leasepool_grinder_batch_items_bucket{grinder="a \"grinder\"",le="4"} 3)"));
  CHECK(has(R"(leasepool_grinder_batch_items_bucket{grinder="a \"grinder\"",le="8"} 8)"));
  CHECK(has(R"(leasepool_grinder_batch_items_bucket{grinder="a \"grinder\"",le="+Inf"} 8)"));
  CHECK(has(R"(leasepool_grinder_batch_items_sum{grinder="a \"grinder\""} 32)"));
  CHECK(has("# TYPE leasepool_grinder_item_wait_seconds histogram"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_bucket{grinder="a \"grinder\"",le="0.000001024"} 3)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_bucket{grinder="a \"grinder\"",le="0.536870912"} 7)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_bucket{grinder="a \"grinder\"",le="1.073741824"} 36)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_bucket{grinder="a \"grinder\"",le="68.719476736"} 36)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_bucket{grinder="a \"grinder\"",le="+Inf"} 37)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_sum{grinder="a \"grinder\""} 150)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_count{grinder="a \"grinder\""} 37)"));
  CHECK(has("# TYPE leasepool_grinder_item_seconds histogram"));
  CHECK(has(R"(leasepool_grinder_item_seconds_bucket{grinder="a \"grinder\"",le="+Inf"} 0)"));
  CHECK_FALSE(has(R"(leasepool_grinder_batch_items_bucket{grinder="a \"grinder\"",le="16"} 8)"));
}

TEST_CASE("managers and grinders stand in one Prometheus text, each metric described once", "[grinder_stats]") {
  std::vector<leasepool::ManagerStats> managers(2);
  managers[0].manager = "a";
  managers[1].manager = "b";
  std::vector<leasepool::GrinderStats> grinders{sample(), sample()};
  grinders[1].grinder = "other";
  const std::string text = leasepool::to_prometheus(managers, grinders);
  const auto count = [&](const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
  };
  CHECK(count("# TYPE leasepool_up gauge\n") == 1);
  CHECK(count("leasepool_up{") == 2);
  CHECK(count("# TYPE leasepool_grinder_items_total counter\n") == 1);
  CHECK(count("leasepool_grinder_items_total{grinder=\"other\",") == 3);
  CHECK(count("# HELP ") == count("# TYPE "));
  // The lines of a metric stand together.
  CHECK(text.find("leasepool_up{manager=\"b\"") < text.find("# HELP leasepool_pools_desired"));
}
