// A service for an hour: so many calls a second on threads and on worker processes, some of which crash, leases that
// expire while something hangs, and managers that stop and start again. Prints what it cost and held from moment to
// moment as CSV, and fails where a call has ended otherwise than it had to. tools/long-run draws it.
//
//   what happens                                   | what its calls end with
//   -----------------------------------------------|---------------------------------------------------------
//   a call comes, on threads and processes in turn | its own argument
//   a function kills its worker                    | worker_crashed: the one call
//   a function hangs, and its lease expires        | lease_expired
//   a manager is stopped and started again         | what is under way ends first; meanwhile no calls come
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "figures/manager.hpp"
#include "figures/report.hpp"
#include "figures/resources.hpp"

using leasepool::Duration;
using leasepool::Errc;
using leasepool::ExecutorBackend;
using leasepool::ExecutorLease;
using leasepool::Histogram;
using leasepool::LeasedExecutorManager;
using leasepool::LeasePoolError;
using leasepool::Loop;
using leasepool::Result;
using leasepool::Task;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

namespace bench_long_run {

std::uint64_t same(std::uint64_t value) { return value; }
void crash() { ::kill(::getpid(), SIGKILL); }
void hang() {
  for (;;) ::pause();
}
figures::Resources look() { return figures::resources(); }

}  // namespace bench_long_run
LEASEPOOL_REGISTER(bench_long_run::same);
LEASEPOOL_REGISTER(bench_long_run::crash);
LEASEPOOL_REGISTER(bench_long_run::hang);
LEASEPOOL_REGISTER(bench_long_run::look);

namespace {

constexpr Duration kBurst = 1ms;  // how often calls come

struct Counts {
  std::uint64_t submitted = 0;
  std::uint64_t ended = 0;
  std::uint64_t crashed = 0;
  std::uint64_t expired = 0;
  std::uint64_t restarts = 0;
  std::uint64_t wrong = 0;
};

class LongRun {
 public:
  LongRun(Loop& loop, const figures::Options& options)
      : loop_(loop),
        options_(options),
        pools_{{{loop, ExecutorBackend::thread}, {loop, ExecutorBackend::process}}},
        hanging_(loop, without_grace(figures::manager_options(ExecutorBackend::process, 1, 1))),
        looking_(loop, figures::manager_options(ExecutorBackend::thread, 1, 1)) {}

  // Whether all was as it had to be.
  bool run() {
    figures::start(loop_, hanging_);
    figures::start(loop_, looking_);
    look_ = figures::acquire(loop_, looking_);
    for (Pools& pools : pools_) {
      figures::start(loop_, pools.manager);
      loop_.block_on(lend(pools));
    }
    std::puts("seconds,calls,crashes,expiries,restarts,threads_p50_ns,threads_p99_ns,processes_p50_ns,processes_p99_ns,"
              "resident_bytes,resident_bytes_of_all,descriptors,threads,processes");
    began_ = next_ = steady_clock::now();
    loop_.spawn(crash_now_and_then());
    loop_.spawn(expire_now_and_then());
    loop_.spawn(restart_now_and_then());
    arrive();
    loop_.block_on(watch());
    arriving_ = {};
    over_ = true;
    loop_.block_on(end());
    std::fprintf(
        stderr,
        "%llu calls were made and %llu have ended; %llu crashed, %llu expired, %llu managers were started again, "
        "%llu were not as they had to be%s%s\n",
        number(counts_.submitted), number(counts_.ended), number(counts_.crashed), number(counts_.expired),
        number(counts_.restarts), number(counts_.wrong), what_was_wrong_.empty() ? "" : ": ", what_was_wrong_.c_str());
    return counts_.wrong == 0 && counts_.submitted == counts_.ended;
  }

 private:
  struct Pools {
    Pools(Loop& loop, ExecutorBackend backend) : manager(loop, figures::manager_options(backend, 1, 2)) {}
    LeasedExecutorManager manager;
    std::optional<ExecutorLease> lease;  // none while the manager is started again
    std::uint64_t under_way = 0;
    Histogram latency;  // since the last line
  };

  static leasepool::ManagerOptions without_grace(leasepool::ManagerOptions options) {
    options.lease_grace = 0s;
    return options;
  }
  static unsigned long long number(std::uint64_t value) { return value; }

  Task<> lend(Pools& pools) {
    auto acquire = pools.manager.acquire({.owner = "load", .lease_duration = Duration::max()});
    pools.lease.emplace(co_await acquire);
  }

  // However late this thread is, all that were to come do.
  void arrive() {
    const auto calls = static_cast<std::uint64_t>(options_.number("rate") * figures::to_seconds(kBurst));
    for (; next_ <= steady_clock::now(); next_ += kBurst) {
      for (std::uint64_t i = 0; i < calls; ++i) call(pools_[i % pools_.size()], next_);
    }
    arriving_ = loop_.call_after(std::max<Duration>(next_ - steady_clock::now(), 0ns), [this] { arrive(); });
  }
  // It counts from the moment for which it was meant.
  void call(Pools& pools, leasepool::TimePoint meant) {
    if (!pools.lease) return;
    const std::uint64_t argument = ++counts_.submitted;
    ++pools.under_way;
    pools.lease->run_async(bench_long_run::same, argument,
                           [this, &pools, meant, argument](const Result<std::uint64_t>& result) {
                             ++counts_.ended;
                             --pools.under_way;
                             pools.latency.record(steady_clock::now() - meant);
                             if (!result) return go_wrong(result.error().message());
                             if (*result != argument) go_wrong("a call returned another's result");
                           });
  }
  void go_wrong(const std::string& what) {
    if (counts_.wrong++ == 0) what_was_wrong_ = what;
  }

  Task<> crash_now_and_then() {
    for (;;) {
      auto pause = loop_.sleep(options_.seconds("crash-every"));
      co_await pause;
      if (over_) co_return;
      Pools& pools = pools_[1];
      if (!pools.lease) continue;
      ++counts_.submitted;
      ++pools.under_way;
      pools.lease->run_async(bench_long_run::crash, [this, &pools](const Result<void>& result) {
        ++counts_.ended;
        --pools.under_way;
        if (result || result.error().code() != Errc::worker_crashed) return go_wrong("a crash was not told as one");
        ++counts_.crashed;
      });
    }
  }

  Task<> expire_now_and_then() {
    for (;;) {
      auto pause = loop_.sleep(options_.seconds("expire-every"));
      co_await pause;
      if (over_) co_return;
      auto acquire = hanging_.acquire({.owner = "hangs", .lease_duration = 100ms});
      const ExecutorLease lease = co_await acquire;
      ++counts_.submitted;
      auto call = lease.run(bench_long_run::hang);
      try {
        co_await call;
        go_wrong("what hangs returned");
      } catch (const LeasePoolError& error) {
        if (error.code() == Errc::lease_expired) ++counts_.expired;
        if (error.code() != Errc::lease_expired) go_wrong(error.what());
      }
      ++counts_.ended;
    }
  }

  // In turn. Calls that wait when a manager stops would be cancelled.
  Task<> restart_now_and_then() {
    for (std::size_t at = 0;; at = (at + 1) % pools_.size()) {
      auto pause = loop_.sleep(options_.seconds("restart-every"));
      co_await pause;
      if (over_) co_return;
      Pools& pools = pools_[at];
      pools.lease.reset();
      while (pools.under_way > 0) {
        auto draining = loop_.sleep(1ms);
        co_await draining;
      }
      auto stop = pools.manager.stop();
      co_await stop;
      auto start = pools.manager.start();
      co_await start;
      auto lending = lend(pools);
      co_await lending;
      ++counts_.restarts;
    }
  }

  Task<> watch() {
    const Duration interval = std::max<Duration>(1s, options_.seconds("seconds") / 600);
    for (auto at = began_ + interval; at <= began_ + options_.seconds("seconds"); at += interval) {
      auto pause = loop_.sleep(at - steady_clock::now());
      co_await pause;
      auto looking = look_.run(bench_long_run::look);
      const figures::Resources now = co_await looking;
      std::printf("%.1f,%llu,%llu,%llu,%llu", figures::to_seconds(at - began_), number(counts_.ended),
                  number(counts_.crashed), number(counts_.expired), number(counts_.restarts));
      for (Pools& pools : pools_) {
        std::printf(",%lld,%lld", static_cast<long long>(pools.latency.percentile(50).count()),
                    static_cast<long long>(pools.latency.percentile(99).count()));
        pools.latency.reset();
      }
      std::printf(",%llu,%llu,%llu,%llu,%llu\n", number(now.resident_bytes), number(now.resident_bytes_of_all),
                  number(now.descriptors), number(now.threads), number(now.processes));
      std::fflush(stdout);
      figures::progress(options_, std::to_string(counts_.ended) + " calls in " +
                                      std::to_string(static_cast<long>(figures::to_seconds(at - began_))) + " s");
    }
  }

  // What is under way ends first.
  Task<> end() {
    for (auto deadline = steady_clock::now() + 30s;
         counts_.ended != counts_.submitted && steady_clock::now() < deadline;) {
      auto pause = loop_.sleep(10ms);
      co_await pause;
    }
    look_.release();
    for (Pools& pools : pools_) {
      pools.lease.reset();
      auto stop = pools.manager.stop();
      co_await stop;
    }
  }

  Loop& loop_;
  const figures::Options& options_;
  std::array<Pools, 2> pools_;
  LeasedExecutorManager hanging_;
  LeasedExecutorManager looking_;
  ExecutorLease look_;
  Counts counts_;
  std::string what_was_wrong_;
  leasepool::TimePoint began_{};
  leasepool::TimePoint next_{};
  leasepool::Timer arriving_;
  bool over_ = false;
};

}  // namespace

int main(int argc, char** argv) try {
  leasepool::init();
  const figures::Options options(argc, argv, "What a service holds and how quick it stays, from moment to moment.",
                                 {{"seconds", 3600, "of it", 1},
                                  {"rate", 100'000, "calls a second", 1000},
                                  {"crash-every", 1, "seconds", 0.01},
                                  {"expire-every", 5, "seconds", 0.2},
                                  {"restart-every", 60, "seconds, of either backend in turn", 0.5}},
                                 {{"seconds", 3, {}},
                                  {"rate", 10'000, {}},
                                  {"crash-every", 0.2, {}},
                                  {"expire-every", 0.4, {}},
                                  {"restart-every", 0.7, {}}});
  Loop loop;
  return LongRun(loop, options).run() ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_long_run: %s\n", error.what());
  return EXIT_FAILURE;
}
