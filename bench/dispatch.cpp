// A call on a lease and its result: one after the other, and with many in flight; and what a job costs to make.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <leasepool/leasepool.hpp>

#include "base/clock.hpp"
#include "leasepool/detail/bound_job.hpp"

namespace bench_dispatch {
std::uint64_t same(std::uint64_t value) { return value; }
}  // namespace bench_dispatch
LEASEPOOL_REGISTER(bench_dispatch::same);

using leasepool::ExecutorBackend;
using leasepool::Result;

namespace {

// Keeps as many calls in flight as the state asks for; each that ends starts the next.
class Calls {
 public:
  Calls(benchmark::State& state, leasepool::Loop& loop, const leasepool::ExecutorLease& lease)
      : state_(state), loop_(loop), lease_(lease) {}

  void run() {
    for (; in_flight_ < state_.range(0); ++in_flight_) submit();
    loop_.run();
  }

 private:
  void submit() {
    lease_.run_async(bench_dispatch::same, 7, [this](const Result<std::uint64_t>& result) { ended(result); });
  }
  void ended(const Result<std::uint64_t>& result) {
    if (!result) failed_ = true;
    if (!done_) done_ = !state_.KeepRunning();
    if (!done_) return submit();
    if (--in_flight_ > 0) return;
    if (failed_) state_.SkipWithError("a call failed");
    loop_.stop();
  }

  benchmark::State& state_;
  leasepool::Loop& loop_;
  const leasepool::ExecutorLease& lease_;
  std::int64_t in_flight_ = 0;
  bool done_ = false;
  bool failed_ = false;
};

template <ExecutorBackend Backend>
void call(benchmark::State& state) {
  leasepool::Loop loop;
  leasepool::ManagerOptions options;
  options.backend = Backend;
  options.max_pools = 1;
  options.workers_per_pool = 2;
  leasepool::LeasedExecutorManager manager(loop, options);
  const auto start = [&]() -> leasepool::Task<leasepool::ExecutorLease> {
    co_await manager.start();
    co_return co_await manager.acquire();
  };
  const leasepool::ExecutorLease lease = loop.block_on(start());
  Calls(state, loop, lease).run();
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

struct Receiver {
  void operator()(const Result<std::uint64_t>& result) const { benchmark::DoNotOptimize(result.has_value()); }
};

// The call bound to its arguments, run and dropped, without a pool.
void job(benchmark::State& state) {
  for (auto _ : state) {
    auto made = leasepool::detail::make_job<Receiver>(bench_dispatch::same, 7);
    made->set_receiver({});
    made->run();
    made->deliver();
    benchmark::DoNotOptimize(made);
  }
}

void encode_arguments(benchmark::State& state) {
  const auto made = leasepool::detail::make_job<Receiver>(bench_dispatch::same, 7);
  for (auto _ : state) {
    leasepool::detail::Bytes bytes;
    leasepool::detail::Descriptors descriptors;
    benchmark::DoNotOptimize(made->encode(bytes, descriptors, 1024));
  }
}

void read_clock(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(leasepool::detail::monotonic_now());
}

BENCHMARK(call<ExecutorBackend::thread>)->Arg(1)->Arg(64)->Arg(1024)->UseRealTime();
BENCHMARK(call<ExecutorBackend::process>)->Arg(1)->Arg(64)->Arg(1024)->UseRealTime();
BENCHMARK(job);
BENCHMARK(encode_arguments);
BENCHMARK(read_clock);

}  // namespace

int main(int argc, char** argv) {
  leasepool::init();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
