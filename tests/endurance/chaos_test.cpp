// Chaos: everything at once on both backends, for a time. Every call is answered, once and rightly; nothing hangs; and
// memory stays what it was.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <leasepool/leasepool.hpp>
#include <mutex>
#include <random>
#include <stop_token>
#include <string>
#include <thread>

#include "catch.hpp"
#include "chaos_side.hpp"
#include "memory_curve.hpp"
#include "outcomes.hpp"
#include "support/eventually.hpp"
#include "support/long_run.hpp"
#include "support/process_state.hpp"
#include "support/sanitized.hpp"

namespace lp = leasepool;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

// Ends the program, which hangs, when nobody has said for a while that it goes on.
class Watchdog {
 public:
  explicit Watchdog(const endurance::Outcomes& outcomes) : outcomes_(outcomes) {}
  void goes_on() { ++rounds_; }

 private:
  void watch(const std::stop_token& ended) {
    constexpr auto kPatience = 60s;
    std::unique_lock lock(mutex_);
    for (unsigned seen = rounds_;; seen = rounds_) {
      const auto changed = [&] { return rounds_ != seen; };
      const auto give_up = Clock::now() + kPatience;
      while (!ended.stop_requested() && !changed() && Clock::now() < give_up) wake_.wait_for(lock, ended, 1s, changed);
      if (ended.stop_requested()) return;
      if (changed()) continue;
      std::printf("the chaos run hangs: %zu of %zu calls were answered\n%s", outcomes_.told_in_all(),
                  outcomes_.begun_in_all(), outcomes_.wrongs().c_str());
      std::fflush(stdout);
      std::abort();
    }
  }

  const endurance::Outcomes& outcomes_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::atomic<unsigned> rounds_ = 0;
  std::jthread thread_{[this](const std::stop_token& ended) { watch(ended); }};
};

std::uint64_t seed() {
  const char* const given = std::getenv("LEASEPOOL_CHAOS_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

}  // namespace

TEST_CASE("whatever is done to both backends at once, each call is answered rightly and memory stays flat",
          "[endurance][chaos][L6][W2][W4]") {
  const auto length = leasepool::test::long_run() ? Clock::duration(10min) : Clock::duration(10s);
  const std::uint64_t first_seed = seed();
  std::mt19937_64 random(first_seed);
  std::printf("LEASEPOOL_CHAOS_SEED=%llu\n", static_cast<unsigned long long>(first_seed));
  endurance::Outcomes outcomes;
  leasepool::test::MemoryCurve curve("chaos");
  Watchdog watchdog(outcomes);
  const std::size_t threads = leasepool::test::thread_count();
  std::size_t rounds = 0;
  std::size_t children = 0;
  {
    lp::Loop loop;
    constexpr int kSamples = 40;
    const auto begin = Clock::now();
    for (int sample = 1; sample <= kSamples; ++sample) {
      do {
        endurance::ChaosSide on_threads(loop, lp::ExecutorBackend::thread, outcomes, random());
        endurance::ChaosSide on_processes(loop, lp::ExecutorBackend::process, outcomes, random());
        loop.block_on([](endurance::ChaosSide& one, endurance::ChaosSide& other) -> lp::Task<> {
          auto one_lives = one.live();
          auto other_lives = other.live();
          auto both = lp::when_all(std::move(one_lives), std::move(other_lives));
          co_await both;
        }(on_threads, on_processes));
        watchdog.goes_on();
        ++rounds;
      } while (Clock::now() < begin + length * sample / kSamples);
      // Threads that were abandoned end with the functions that they run.
      CHECK(leasepool::test::eventually([&] { return leasepool::test::thread_count() == threads; }));
      const std::size_t left = leasepool::test::child_processes().size();
      if (children == 0) children = left;
      CHECK(leasepool::test::eventually([&] { return leasepool::test::child_processes().size() == children; }));
      curve.add(double(sample) / kSamples);
    }
  }
  std::printf("%zu rounds\n", rounds);
  outcomes.print();
  curve.print();
  CHECK(outcomes.wrongs() == "");
  CHECK(outcomes.told_in_all() == outcomes.begun_in_all());
  if (!leasepool::test::kSanitized) CHECK(curve.growth() == "");
}
