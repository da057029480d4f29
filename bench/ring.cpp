// What the ring costs: a turn with nothing to do, an operation that completes at once, and arming the wake-up.
#include "loop/ring.hpp"

#include <benchmark/benchmark.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"

using leasepool::detail::Completion;
using leasepool::detail::Ring;

namespace {

void nothing_to_do(benchmark::State& state) {
  Ring ring;
  for (auto _ : state) {
    ring.submit_and_reap();
    ring.run_handlers();
  }
}

// So many operations a system call.
void ready_polls(benchmark::State& state) {
  const leasepool::detail::UniqueFd ready(::eventfd(1, EFD_CLOEXEC));
  Ring ring;
  for (auto _ : state) {
    for (std::int64_t i = 0; i < state.range(0); ++i) {
      ring.poll(ready.get(), POLLIN, [](Completion completion) { benchmark::DoNotOptimize(completion); });
    }
    while (ring.in_flight() > 0) {
      ring.submit_and_reap();
      ring.run_handlers();
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

// As a loop does whose earliest deadline changes each turn.
void move_wakeup(benchmark::State& state) {
  Ring ring;
  auto deadline = leasepool::detail::monotonic_now() + std::chrono::hours(1);
  for (auto _ : state) {
    ring.set_wakeup(deadline += std::chrono::seconds(1));
    ring.submit_and_reap();
    ring.run_handlers();
  }
}

BENCHMARK(nothing_to_do);
BENCHMARK(ready_polls)->Arg(1)->Arg(64);
BENCHMARK(move_wakeup);

}  // namespace

BENCHMARK_MAIN();
