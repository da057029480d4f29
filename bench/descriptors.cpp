// A call with shared memory or with a descriptor, against one without: whatever the memory's size, it costs the same.
#include <benchmark/benchmark.h>
#include <fcntl.h>

#include <cstdint>
#include <leasepool/leasepool.hpp>
#include <string>
#include <vector>

using leasepool::Fd;
using leasepool::SharedBuffer;

namespace calls {

std::size_t with_nothing(std::size_t size) { return size; }
std::size_t with_buffer(const SharedBuffer& buffer) { return buffer.size(); }
std::size_t with_bytes(const std::vector<std::uint8_t>& bytes) { return bytes.size(); }
std::size_t with_descriptors(const std::vector<Fd>& descriptors) { return descriptors.size(); }

}  // namespace calls

LEASEPOOL_REGISTER(calls::with_nothing);
LEASEPOOL_REGISTER(calls::with_buffer);
LEASEPOOL_REGISTER(calls::with_bytes);
LEASEPOOL_REGISTER(calls::with_descriptors);

namespace {

// Measures one call after the other on one worker process.
template <class MakeCall>
void measure(benchmark::State& state, MakeCall make_call) {
  leasepool::Loop loop;
  leasepool::ManagerOptions options;
  options.backend = leasepool::ExecutorBackend::process;
  options.max_pools = 1;
  options.workers_per_pool = 1;
  leasepool::LeasedExecutorManager manager(loop, options);
  const auto body = [&]() -> leasepool::Task<> {
    co_await manager.start();
    {
      const leasepool::ExecutorLease lease = co_await manager.acquire();
      for (auto _ : state) {
        auto call = make_call(lease);
        benchmark::DoNotOptimize(co_await call);
      }
    }
    co_await manager.stop();
  };
  loop.block_on(body());
}

std::size_t size_of(const benchmark::State& state) { return static_cast<std::size_t>(state.range(0)); }

void nothing(benchmark::State& state) {
  measure(state, [](const auto& lease) { return lease.run(calls::with_nothing, 1); });
}
void shared_buffer(benchmark::State& state) {
  const SharedBuffer buffer(size_of(state));
  measure(state, [&](const auto& lease) { return lease.run(calls::with_buffer, SharedBuffer(buffer)); });
}
void copied_bytes(benchmark::State& state) {
  const std::vector<std::uint8_t> bytes(size_of(state));
  measure(state, [&](const auto& lease) { return lease.run(calls::with_bytes, std::vector(bytes)); });
}
void descriptors(benchmark::State& state) {
  const Fd one(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  measure(state, [&](const auto& lease) {
    std::vector<Fd> some;
    for (std::size_t i = 0; i < size_of(state); ++i) some.push_back(one.duplicate());
    return lease.run(calls::with_descriptors, std::move(some));
  });
}

BENCHMARK(nothing)->UseRealTime();
BENCHMARK(shared_buffer)->UseRealTime()->Arg(4 << 10)->Arg(1 << 20)->Arg(1 << 30);
BENCHMARK(copied_bytes)->UseRealTime()->Arg(4 << 10)->Arg(1 << 20)->Arg(32 << 20);
BENCHMARK(descriptors)->UseRealTime()->Arg(1)->Arg(16)->Arg(253);

}  // namespace

int main(int argc, char** argv) {
  leasepool::init();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
