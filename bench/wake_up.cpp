// From a post on another thread to the loop that sleeps, and back: a round trip of wake-ups.
#include <benchmark/benchmark.h>

#include <atomic>
#include <leasepool/leasepool.hpp>
#include <thread>

namespace {

void post_round_trip(benchmark::State& state) {
  std::atomic<leasepool::Loop*> remote = nullptr;
  std::thread other([&] {
    leasepool::Loop loop;
    remote.store(&loop);
    remote.notify_one();
    loop.run();
  });
  remote.wait(nullptr);
  leasepool::Loop loop;
  for (auto _ : state) {
    remote.load()->post([&] { loop.stop(); });
    loop.run();
  }
  remote.load()->stop();
  other.join();
}

void post_to_itself(benchmark::State& state) {
  leasepool::Loop loop;
  for (auto _ : state) {
    loop.post([&] { loop.stop(); });
    loop.run();
  }
}

BENCHMARK(post_round_trip)->UseRealTime();
BENCHMARK(post_to_itself);

}  // namespace

BENCHMARK_MAIN();
