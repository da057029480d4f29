// Arming, cancelling and taking timers with many others pending.
#include "loop/timer_queue.hpp"

#include <benchmark/benchmark.h>

#include <vector>

using leasepool::Duration;
using leasepool::TimePoint;
using leasepool::detail::TimerQueue;

namespace {

TimePoint spread(std::int64_t i) { return TimePoint(Duration(1'000'000 + (i * 7919) % 1'000'003)); }

void fill(TimerQueue& queue, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) (void)queue.add(spread(i), [] {});
}

void add_and_cancel(benchmark::State& state) {
  TimerQueue queue;
  fill(queue, state.range(0));
  std::int64_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(queue.cancel(queue.add(spread(++i), [] {})));
}

void add_and_take(benchmark::State& state) {
  TimerQueue queue;
  fill(queue, state.range(0));
  for (auto _ : state) {
    (void)queue.add(TimePoint(Duration(1)), [] {});
    auto handler = queue.take_due(TimePoint(Duration(2)), queue.mark());
    benchmark::DoNotOptimize(handler);
  }
}

BENCHMARK(add_and_cancel)->Arg(0)->Arg(100)->Arg(10'000);
BENCHMARK(add_and_take)->Arg(0)->Arg(100)->Arg(10'000);

}  // namespace

BENCHMARK_MAIN();
