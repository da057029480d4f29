// What a grinder says of its items and options.
#include <numeric>
#include <vector>

#include "grinder_support.hpp"

namespace {

std::uint64_t items_in(const std::vector<lp::DurationBucket>& buckets) {
  return std::accumulate(buckets.begin(), buckets.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const lp::DurationBucket& bucket) { return sum + bucket.count; });
}

}  // namespace

TEST_CASE("a grinder's stats tell how long items wait and how long they take", "[G1]") {
  on_grinder(both_backends(), {.batch_size_threshold = 2, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    CHECK(bench.grinder.stats().oldest_wait == 0s);
    Answers answers;
    bench.grinder.submit_async(pass_gate, 1, answers.taker<int>());
    const auto begin = std::chrono::steady_clock::now();
    co_await bench.loop.sleep(20ms);
    bench.grinder.with({.priority = 1}).submit_async(square, 2, answers.taker<std::uint64_t>());  // does not hide it
    const lp::GrinderStats waiting = bench.grinder.stats();
    CHECK(waiting.pending == 2);
    CHECK(waiting.oldest_wait >= 20ms);
    CHECK(waiting.oldest_wait <= std::chrono::steady_clock::now() - begin + 1ms);
    co_await until_entered(bench.loop, 1);
    CHECK(bench.grinder.stats().oldest_wait == 0s);
    co_await until(bench.loop, [&] { return answers.count == 1; });
    co_await bench.loop.sleep(20ms);
    open_gate();
    co_await until(bench.loop, [&] { return answers.count == 2; });
    const lp::GrinderStats stats = bench.grinder.stats();
    CHECK(stats.item_wait.count == 2);
    CHECK(stats.item_wait.max >= 20ms);
    CHECK(stats.item_total.count == 2);
    CHECK(stats.item_total.p50 < stats.item_total.max);  // square did not wait for the gate
    CHECK(stats.item_total.max >= 40ms);
    CHECK(stats.item_total.max >= stats.item_wait.max);
    // The same as histograms.
    CHECK(items_in(stats.item_wait.buckets) == 2);
    CHECK(items_in(stats.item_total.buckets) == 2);
    CHECK(stats.item_wait.sum >= 20ms);
    CHECK(stats.item_total.sum >= stats.item_wait.sum + 20ms);
    REQUIRE_FALSE(stats.item_total.buckets.empty());
    const lp::DurationBucket longest = stats.item_total.buckets.back();
    CHECK(longest.count >= 1);
    CHECK(longest.below > stats.item_total.max);
    CHECK(longest.below / 2 <= stats.item_total.max);
    // One that never ran counts, too.
    auto cancelled = bench.grinder.enqueue(square, 3);
    cancelled.cancel();
    CHECK(bench.grinder.stats().item_total.count == 3);
    CHECK(bench.grinder.stats().item_wait.count == 2);
  });
}

TEST_CASE("a grinder's stats show the options in force", "[G4]") {
  on_grinder(both_backends(), {.batch_size_threshold = 7, .max_wait = 8s, .lease_duration = 9s, .max_pending = 10},
             [](Bench& bench) -> lp::Task<> {
               const lp::GrinderStats stats = bench.grinder.stats();
               CHECK(stats.batch_size_threshold == 7);
               CHECK(stats.max_wait == 8s);
               CHECK(stats.lease_duration == 9s);
               CHECK(stats.max_pending == 10);
               CHECK(stats.max_inflight_batches == bench.manager.stats().max_pools);
               CHECK(stats.max_inflight_batches == 3);
               const lp::WorkGrinder narrow(bench.manager, {.max_inflight_batches = 2});
               CHECK(narrow.stats().max_inflight_batches == 2);
               co_return;
             },
             {.max_pools = 3});
}
