// The grinder's stats in their three formats.
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "grinder/duration_buckets.hpp"
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
          .item_wait = {.count = 37, .p50 = 2ms, .p99 = 9ms, .max = 10ms},
          .item_total = {},
          .item_wait_buckets = {{8us, 3}, {16us, 4}, {1048576us, 29}, {134217728us, 1}},
          .item_wait_sum = 150s,
          .item_total_buckets = {},
          .item_total_sum = {},
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
      R"({"count":37,"p50":0.002,"p99":0.009,"max":0.01},"item_total":{"count":0,"p50":0,"p99":0,"max":0},)"
      R"("item_wait_buckets":[{"at_most":0.000008,"items":3},{"at_most":0.000016,"items":4},)"
      R"({"at_most":1.048576,"items":29},{"at_most":134.217728,"items":1}],"item_wait_sum":150,)"
      R"("item_total_buckets":[],"item_total_sum":0})");
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
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_bucket{grinder="a \"grinder\"",le="0.000016"} 7)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_bucket{grinder="a \"grinder\"",le="0.524288"} 7)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_bucket{grinder="a \"grinder\"",le="1.048576"} 36)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_bucket{grinder="a \"grinder\"",le="67.108864"} 36)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_bucket{grinder="a \"grinder\"",le="+Inf"} 37)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_sum{grinder="a \"grinder\""} 150)"));
  CHECK(has(R"(leasepool_grinder_item_wait_seconds_count{grinder="a \"grinder\""} 37)"));
  CHECK(has("# TYPE leasepool_grinder_item_seconds histogram"));
  CHECK(has(R"(leasepool_grinder_item_seconds_bucket{grinder="a \"grinder\"",le="+Inf"} 0)"));
  CHECK_FALSE(has(R"(leasepool_grinder_batch_items_bucket{grinder="a \"grinder\"",le="16"} 8)"));
}

TEST_CASE("durations are counted in powers of two of a microsecond, bounds included", "[grinder_stats]") {
  leasepool::detail::DurationBuckets buckets;
  CHECK(buckets.list().empty());
  for (const leasepool::Duration duration :
       {leasepool::Duration(-1), leasepool::Duration(0), leasepool::Duration(1us), leasepool::Duration(1001ns),
        leasepool::Duration(2us), leasepool::Duration(2001ns), leasepool::Duration(1s)}) {
    buckets.record(duration);
  }
  const std::vector<std::pair<leasepool::Duration, std::uint64_t>> expected{
      {1us, 3}, {2us, 2}, {4us, 1}, {1048576us, 1}};
  CHECK(buckets.list() == expected);
  CHECK(buckets.sum() == 1s + 6002ns);
  buckets.record(leasepool::Duration::max());  // neither the bucket nor the sum overflows
  CHECK(buckets.list().back().second == 1);
  CHECK(buckets.sum() == leasepool::Duration::max());
}
