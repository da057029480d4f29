// An item through the grinder and back, with a thousand in flight and batches of the state's size.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <leasepool/leasepool.hpp>

namespace bench_grinder {
std::uint64_t same(std::uint64_t value) { return value; }
}  // namespace bench_grinder
LEASEPOOL_REGISTER(bench_grinder::same);

using leasepool::ExecutorBackend;
using leasepool::Result;

namespace {

constexpr std::int64_t kInFlight = 1024;

// Each item that ends submits the next.
class Items {
 public:
  Items(benchmark::State& state, leasepool::Loop& loop, leasepool::WorkGrinder& grinder)
      : state_(state), loop_(loop), grinder_(grinder) {}

  void run() {
    for (; in_flight_ < kInFlight; ++in_flight_) submit();
    loop_.run();
  }

 private:
  void submit() {
    grinder_.submit_async(bench_grinder::same, 7, [this](const Result<std::uint64_t>& result) { ended(result); });
  }
  void ended(const Result<std::uint64_t>& result) {
    if (!result) failed_ = true;
    if (!done_) done_ = !state_.KeepRunning();
    if (!done_) return submit();
    if (--in_flight_ > 0) return;
    if (failed_) state_.SkipWithError("an item failed");
    loop_.stop();
  }

  benchmark::State& state_;
  leasepool::Loop& loop_;
  leasepool::WorkGrinder& grinder_;
  std::int64_t in_flight_ = 0;
  bool done_ = false;
  bool failed_ = false;
};

template <ExecutorBackend Backend>
void items(benchmark::State& state) {
  leasepool::Loop loop;
  leasepool::ManagerOptions options;
  options.backend = Backend;
  options.max_pools = 1;
  options.workers_per_pool = 2;
  leasepool::LeasedExecutorManager manager(loop, options);
  leasepool::GrinderOptions grinder_options;
  grinder_options.batch_size_threshold = static_cast<std::size_t>(state.range(0));
  grinder_options.max_wait = std::chrono::milliseconds(1);  // for the last ones, too few for a batch
  leasepool::WorkGrinder grinder(manager, grinder_options);
  const auto start = [&]() -> leasepool::Task<> {
    co_await manager.start();
    co_await grinder.start();
  };
  loop.block_on(start());
  Items(state, loop, grinder).run();
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

BENCHMARK(items<ExecutorBackend::thread>)->Arg(1)->Arg(64)->UseRealTime();
BENCHMARK(items<ExecutorBackend::process>)->Arg(64)->UseRealTime();

}  // namespace

int main(int argc, char** argv) {
  leasepool::init();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
