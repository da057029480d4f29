// G1 of the contract to the nanosecond, on a virtual clock: when a batch goes by age.
#include <chrono>
#include <memory>
#include <source_location>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "grinder/grinder_core.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/grinder.hpp"
#include "sim_pool.hpp"
#include "sim_scheduler.hpp"

namespace grinder_age {

using namespace std::chrono_literals;
using leasepool::GrinderCalls;
using leasepool::Result;
using leasepool::TimePoint;
using leasepool::detail::GrinderCore;
using leasepool::detail::ManagerCore;
using leasepool::test::SimPool;
using leasepool::test::SimScheduler;
using leasepool::test::SimWorld;

struct Bench {
  SimWorld world;
  std::shared_ptr<SimScheduler> scheduler = std::make_shared<SimScheduler>();
  std::shared_ptr<ManagerCore> manager;
  std::shared_ptr<GrinderCore> grinder;
  std::vector<TimePoint> ran;

  Bench() {
    leasepool::ManagerOptions options;
    options.max_pools = 1;
    manager = std::make_shared<ManagerCore>(
        scheduler, std::move(options), [this](const auto&) { return std::make_shared<SimPool>(*scheduler, world, 4); });
    leasepool::GrinderOptions grinder_options;
    grinder_options.batch_size_threshold = 100;
    grinder_options.max_wait = 100ms;
    grinder = std::make_shared<GrinderCore>(scheduler, manager, grinder_options, std::source_location::current());
    manager->start([](const auto&) {});
    grinder->start([](const auto&) {});
    scheduler->run_until_idle();
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() {
    grinder->shut_down();
    manager->shut_down();
  }

  auto enqueue() {
    const auto run = [this] { ran.push_back(scheduler->now()); };
    return leasepool::detail::Access::make<GrinderCalls>(grinder, leasepool::detail::make_item_settings({}))
        .enqueue(run);
  }
};

}  // namespace grinder_age

TEST_CASE("G1: a batch goes when its first item has waited for max_wait, to the nanosecond", "[G1]") {
  using namespace std::chrono_literals;
  grinder_age::Bench bench;
  const auto begin = bench.scheduler->now();
  auto first = bench.enqueue();
  bench.scheduler->advance(60ms);
  auto later = bench.enqueue();
  bench.scheduler->advance(40ms - 1ns);
  CHECK(bench.ran.empty());
  bench.scheduler->advance(1ns);
  REQUIRE(bench.ran.size() == 2);
  CHECK(bench.ran == std::vector<leasepool::TimePoint>(2, begin + 100ms));
  CHECK(bench.grinder->stats().flushed_by_age == 1);
  // The next one's clock begins with itself.
  auto again = bench.enqueue();
  bench.scheduler->advance(1s);
  REQUIRE(bench.ran.size() == 3);
  CHECK(bench.ran[2] == begin + 200ms);
}

TEST_CASE("G1: when the first item is cancelled, the clock is the next one's", "[G1]") {
  using namespace std::chrono_literals;
  grinder_age::Bench bench;
  const auto begin = bench.scheduler->now();
  auto first = bench.enqueue();
  bench.scheduler->advance(60ms);
  auto later = bench.enqueue();
  first.cancel();
  bench.scheduler->advance(1s);
  CHECK(bench.ran == std::vector<leasepool::TimePoint>{begin + 160ms});
}

TEST_CASE("G1: an item whose time is up between two readings of the clock goes like any other", "[G1]") {
  using namespace std::chrono_literals;
  for (auto late = 0ns; late < 20ns; ++late) {
    CAPTURE(late.count());
    grinder_age::Bench bench;
    bench.scheduler->per_reading = 1ns;
    auto first = bench.enqueue();
    auto later = bench.enqueue();
    first.cancel();
    bench.scheduler->jump(100ms - 10ns + late);  // the timer of the first fires about when the second's time is up
    bench.scheduler->advance(1s);
    CHECK(bench.ran.size() == 1);
  }
}
