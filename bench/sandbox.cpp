// What a sandbox costs: the start of a worker, a call's round trip, and a file that a function opens, under each
// profile.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <leasepool/leasepool.hpp>
#include <string>
#include <system_error>

namespace bench_sandbox {

int same(int value) { return value; }

// A thousand times: open, read a byte, close.
int read_often(const std::string& path) {
  int bytes = 0;
  for (int i = 0; i < 1000; ++i) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), path);
    char byte = 0;
    bytes += static_cast<int>(::read(fd, &byte, 1));
    ::close(fd);
  }
  return bytes;
}

}  // namespace bench_sandbox

LEASEPOOL_REGISTER(bench_sandbox::same);
LEASEPOOL_REGISTER(bench_sandbox::read_often);

namespace {

constexpr char kFile[] = "/etc/passwd";

leasepool::ManagerOptions options_for(const benchmark::State& state) {
  leasepool::ManagerOptions options;
  options.backend = leasepool::ExecutorBackend::process;
  options.max_pools = 1;
  options.workers_per_pool = 1;
  if (state.range(0) == 1) options.sandbox = leasepool::Sandbox::compute();
  if (state.range(0) == 2) options.sandbox = leasepool::Sandbox::files({"/etc"}, {});
  return options;
}

void name_profile(benchmark::State& state) {
  const auto profile = options_for(state).sandbox.profile();
  state.SetLabel(std::string(name_of(profile)));
}

// From start() until the worker takes calls, and its end.
void start_worker(benchmark::State& state) {
  leasepool::Loop loop;
  const auto start_and_stop = [&](leasepool::LeasedExecutorManager& manager) -> leasepool::Task<> {
    co_await manager.start();
    state.PauseTiming();
    co_await manager.stop();
    state.ResumeTiming();
  };
  for (auto _ : state) {
    leasepool::LeasedExecutorManager manager(loop, options_for(state));
    loop.block_on(start_and_stop(manager));
  }
  name_profile(state);
}

template <class... Arguments>
void call_often(benchmark::State& state, auto function, const Arguments&... arguments) {
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(loop, options_for(state));
  const auto calls = [&]() -> leasepool::Task<> {
    co_await manager.start();
    {
      const leasepool::ExecutorLease lease = co_await manager.acquire();
      for (auto _ : state) {
        auto call = lease.run(function, arguments...);
        benchmark::DoNotOptimize(co_await call);
      }
    }
    co_await manager.stop();
  };
  loop.block_on(calls());
  name_profile(state);
}

void call_round_trip(benchmark::State& state) { call_often(state, bench_sandbox::same, 1); }
void call_that_reads_a_file_1000_times(benchmark::State& state) {
  call_often(state, bench_sandbox::read_often, std::string(kFile));
}

BENCHMARK(start_worker)->DenseRange(0, 2)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(call_round_trip)->DenseRange(0, 2)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(call_that_reads_a_file_1000_times)->Arg(0)->Arg(2)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace

int main(int argc, char** argv) {
  leasepool::init();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
