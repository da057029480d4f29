// How often a call reads the clock once calls flow, counted by a clock_gettime() of this program's own, which the
// standard library finds first. A program of its own for that, and for its worker processes.
#include <dlfcn.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "catch.hpp"
#include "leasepool/leasepool.hpp"

namespace {

thread_local std::uint64_t readings = 0;  // of this thread

// How much slower than the system's a worker's clock goes, and since when it does.
constexpr std::int64_t kSlower = 64;
std::int64_t slowed_since = 0;

constexpr std::int64_t kSecond = 1'000'000'000;
std::int64_t nanoseconds_of(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  using Read = int (*)(clockid_t, timespec*);
  static const auto read = reinterpret_cast<Read>(::dlsym(RTLD_NEXT, "clock_gettime"));
  ++readings;
  const int result = read(clock, time);
  if (slowed_since != 0 && clock == CLOCK_MONOTONIC) {
    const std::int64_t slowed = slowed_since + (nanoseconds_of(*time) - slowed_since) / kSlower;
    *time = {.tv_sec = slowed / kSecond, .tv_nsec = slowed % kSecond};
  }
  return result;
}

namespace clock_readings {

namespace lp = leasepool;
using namespace std::chrono_literals;

// How often the thread that runs this has read the clock so far; after so many steps of work.
std::uint64_t readings_here(std::uint64_t steps) {
  for (volatile std::uint64_t left = steps; left != 0;) left = left - 1;
  return readings;
}

// The same in a process whose clock goes slower from then on. A worker measures each call that takes it longer than a
// few microseconds, and how many steps of work that are depends on the machine and the compiler: by this clock all are
// quick.
std::uint64_t readings_by_slow_clock(std::uint64_t steps) {
  if (slowed_since == 0) {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    slowed_since = nanoseconds_of(now);
  }
  return readings_here(steps);
}

}  // namespace clock_readings
LEASEPOOL_REGISTER(clock_readings::readings_here);
LEASEPOOL_REGISTER(clock_readings::readings_by_slow_clock);

namespace clock_readings {

lp::Task<lp::ExecutorLease> start_and_acquire(lp::LeasedExecutorManager& manager) {
  co_await manager.start();
  co_return co_await manager.acquire({.lease_duration = lp::Duration::max()});
}

lp::Task<> stop(lp::LeasedExecutorManager& manager) { co_await manager.stop(); }

lp::ManagerOptions options_of(lp::ExecutorBackend backend) {
  lp::ManagerOptions options;
  options.backend = backend;
  options.max_pools = 1;
  options.workers_per_pool = 1;
  return options;
}

constexpr std::size_t kCalls = 500;  // of a run, short enough that now and then none is disturbed
// Where many are under way, a call takes longer than the loop has with it, so that the worker seldom waits for one.
constexpr std::uint64_t kStepsOfMany = 20'000;

// What a run of calls read.
struct Counts {
  std::uint64_t most_in_submit = 0;   // within one run_async(), where nothing is waited for
  std::uint64_t in_submit = 0;        // within all of them
  std::uint64_t first_of_worker = 0;  // what the first call returned, and the last
  std::uint64_t last_of_worker = 0;
  std::uint64_t wrong = 0;

  [[nodiscard]] std::uint64_t of_worker() const { return last_of_worker - first_of_worker; }
};

// Calls that follow each other, so many at a time. Who waits for long looks at the clock meanwhile, and for how long is
// the machine's business: so runs are repeated, and what counts is what the best of them took.
class Flow {
 public:
  explicit Flow(lp::ExecutorBackend backend)
      : function_(backend == lp::ExecutorBackend::thread ? readings_here : readings_by_slow_clock),
        manager_(loop_, options_of(backend)),
        lease_(loop_.block_on(start_and_acquire(manager_))) {}
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;
  ~Flow() {
    lease_.release();
    loop_.block_on(stop(manager_));
  }

  Counts run(std::size_t at_a_time) {
    counts_ = {};
    left_ = kCalls;
    steps_ = at_a_time == 1 ? 0 : kStepsOfMany;
    for (std::size_t i = 0; i < at_a_time; ++i) begin();
    loop_.run();
    return counts_;
  }

  // Until a run is as wanted; the limit ends a broken test.
  template <class Wanted>
  Counts run_until(std::size_t at_a_time, const Wanted& wanted) {
    const auto give_up = std::chrono::steady_clock::now() + 40s;
    for (;;) {
      const Counts counts = run(at_a_time);
      if (wanted(counts) || std::chrono::steady_clock::now() >= give_up) return counts;
    }
  }

 private:
  void begin() {
    if (left_ == 0) return;
    --left_;
    ++under_way_;
    const std::uint64_t before = readings;
    lease_.run_async(function_, steps_, [this](const lp::Result<std::uint64_t>& result) { ended(result); });
    counts_.most_in_submit = std::max(counts_.most_in_submit, readings - before);
    counts_.in_submit += readings - before;
  }

  void ended(const lp::Result<std::uint64_t>& result) {
    --under_way_;
    if (!result) {
      ++counts_.wrong;
    } else {
      if (counts_.first_of_worker == 0) counts_.first_of_worker = *result;
      counts_.last_of_worker = *result;
    }
    begin();
    if (left_ == 0 && under_way_ == 0) loop_.stop();
  }

  std::uint64_t (*const function_)(std::uint64_t);
  lp::Loop loop_;
  lp::LeasedExecutorManager manager_;
  lp::ExecutorLease lease_;
  Counts counts_;
  std::size_t left_ = 0;
  std::uint64_t steps_ = 0;
  std::size_t under_way_ = 0;
};

TEST_CASE("a call to a thread reads the clock once at most as it is submitted, and once as it ends", "[clock]") {
  Flow flow(lp::ExecutorBackend::thread);
  flow.run(64);
  const Counts one = flow.run(1);
  CHECK(one.most_in_submit == 1);
  constexpr std::uint64_t kMostOfThread = kCalls * 21 / 20;
  const Counts many = flow.run_until(64, [](const Counts& counts) { return counts.of_worker() <= kMostOfThread; });
  CHECK(many.of_worker() <= kMostOfThread);
  CHECK(many.of_worker() >= kCalls * 9 / 10);  // what is counted is what the thread reads
  CHECK(many.most_in_submit == 1);
  CHECK(one.in_submit == kCalls);
  CHECK(one.wrong + many.wrong == 0);
}

TEST_CASE("a call to a worker process reads the clock once as it is submitted, and there once in four", "[clock]") {
  Flow flow(lp::ExecutorBackend::process);
  flow.run(64);
  const Counts one = flow.run(1);
  CHECK(one.most_in_submit == 1);
  constexpr std::uint64_t kMostOfWorker = kCalls * 3 / 10;
  const Counts many = flow.run_until(64, [](const Counts& counts) { return counts.of_worker() <= kMostOfWorker; });
  CHECK(many.of_worker() <= kMostOfWorker);
  CHECK(many.first_of_worker > 0);
  CHECK(many.most_in_submit == 1);
  CHECK(one.wrong + many.wrong == 0);
}

}  // namespace clock_readings
