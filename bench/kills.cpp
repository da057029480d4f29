// D2: calls/s while a hundred workers a second are killed, against the undisturbed rate measured in turn in the same
// run; and whether each call ended exactly once, with its result or with worker_crashed.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "figures/manager.hpp"
#include "figures/report.hpp"
#include "pool/processes.hpp"

using figures::Unit;
using leasepool::Errc;
using leasepool::Result;
using std::chrono::steady_clock;

namespace bench_kills {

// Which call it was, and who ran it.
std::uint64_t answer(std::uint32_t number) { return (static_cast<std::uint64_t>(::getpid()) << 32) | number; }

}  // namespace bench_kills
LEASEPOOL_REGISTER(bench_kills::answer);

namespace {

// Kills whoever gave the last answer, at random moments that come so many times a second. A worker that is dead already
// does not count, so that the rate is that of deaths.
class Killer {
 public:
  explicit Killer(double per_second) : mean_gap_(1 / per_second), thread_([this](const auto& stop) { run(stop); }) {}

  void set_enabled(bool enabled) { enabled_ = enabled; }
  void saw(pid_t worker) { last_seen_.store(worker, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t kills() const { return kills_; }

 private:
  void run(const std::stop_token& stop) {
    std::mt19937 random(20250103);  // NOLINT(cert-msc51-cpp): as good as any
    std::exponential_distribution<double> gap(1 / mean_gap_);
    auto due = steady_clock::now();
    while (!stop.stop_requested()) {
      due += std::chrono::duration_cast<steady_clock::duration>(std::chrono::duration<double>(gap(random)));
      std::this_thread::sleep_until(due);
      if (!enabled_) {
        due = steady_clock::now();
        continue;
      }
      while (enabled_ && !stop.stop_requested() && !kill_one()) {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
  }

  bool kill_one() {
    const pid_t last = last_seen_.exchange(0, std::memory_order_relaxed);
    if (last == 0) return false;
    const leasepool::test::ProcessHandle worker(last);
    if (worker.dead()) return false;
    worker.kill(SIGKILL);
    ++kills_;
    return true;
  }

  const double mean_gap_;
  std::atomic<bool> enabled_ = false;
  std::atomic<pid_t> last_seen_ = 0;
  std::atomic<std::uint64_t> kills_ = 0;
  std::jthread thread_;
};

// Calls by number, each of which is to end once.
class Calls {
 public:
  Calls(leasepool::Loop& loop, const leasepool::ExecutorLease& lease, Killer& killer, std::size_t depth)
      : loop_(loop), lease_(lease), killer_(killer), depth_(depth) {}

  // Keeps calls in flight for so long; gives results per second.
  double measure(leasepool::Duration how_long) {
    ending_ = false;
    const leasepool::Timer end = loop_.call_after(how_long, [this] {
      ending_ = true;
      if (in_flight_ == 0) loop_.stop();
    });
    const std::uint64_t before = completed;
    const auto begin = steady_clock::now();
    while (in_flight_ < depth_) submit();
    loop_.run();  // until the last of them has ended
    return static_cast<double>(completed - before) / figures::to_seconds(steady_clock::now() - begin);
  }

  [[nodiscard]] std::size_t submitted() const { return times_ended_.size(); }
  [[nodiscard]] std::size_t not_ended_once() const {
    return static_cast<std::size_t>(std::ranges::count_if(times_ended_, [](auto times) { return times != 1; }));
  }

  std::uint64_t completed = 0;
  std::uint64_t crashed = 0;
  std::uint64_t wrong = 0;  // another failure, or another call's result
  std::string first_wrong;

 private:
  void submit() {
    const auto number = static_cast<std::uint32_t>(times_ended_.size());
    times_ended_.push_back(0);
    ++in_flight_;
    lease_.run_async(bench_kills::answer, number,
                     [this, number](const Result<std::uint64_t>& result) { ended(number, result); });
  }

  void ended(std::uint32_t number, const Result<std::uint64_t>& result) {
    ++times_ended_[number];
    --in_flight_;
    if (result && static_cast<std::uint32_t>(*result) == number) {
      ++completed;
      killer_.saw(static_cast<pid_t>(*result >> 32));
    } else if (!result && result.error().code() == Errc::worker_crashed) {
      ++crashed;
    } else if (wrong++ == 0) {
      first_wrong = result ? "the result of another call" : result.error().message();
    }
    if (!ending_) return submit();
    if (in_flight_ == 0) loop_.stop();
  }

  leasepool::Loop& loop_;
  const leasepool::ExecutorLease& lease_;
  Killer& killer_;
  const std::size_t depth_;
  std::size_t in_flight_ = 0;
  bool ending_ = false;
  std::vector<std::uint8_t> times_ended_;
};

}  // namespace

int main(int argc, char** argv) {
  leasepool::init();
  const figures::Options options(argc, argv, "Calls per second while workers are killed.",
                                 {{"workers", 4, "worker processes of the pool"},
                                  {"depth", 64, "calls in flight"},
                                  {"kills", 100, "workers killed a second"},
                                  {"rounds", 12, "of an undisturbed and a disturbed stretch in turn"},
                                  {"seconds", 0.75, "length of a stretch"}},
                                 {{"rounds", 1, {}}, {"seconds", 0.5, {}}});
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(
      loop, figures::manager_options(leasepool::ExecutorBackend::process, 1, options.count("workers")));
  figures::start(loop, manager);
  const leasepool::ExecutorLease lease = figures::acquire(loop, manager);
  Killer killer(options.number("kills"));
  Calls calls(loop, lease, killer, options.count("depth"));

  (void)calls.measure(options.seconds("seconds") / 4);  // warms up
  std::vector<double> undisturbed;
  std::vector<double> disturbed;
  std::vector<double> ratios;
  leasepool::Duration under_fire{};
  for (std::size_t i = 0; i < options.count("rounds"); ++i) {
    undisturbed.push_back(calls.measure(options.seconds("seconds")));
    const auto begin = steady_clock::now();
    killer.set_enabled(true);
    disturbed.push_back(calls.measure(options.seconds("seconds")));
    killer.set_enabled(false);
    under_fire += steady_clock::now() - begin;
    ratios.push_back(disturbed.back() / undisturbed.back());
    figures::progress(options, "round " + std::to_string(i + 1) + ": " +
                                   figures::text_of(undisturbed.back(), Unit::per_second) + " undisturbed, " +
                                   figures::text_of(disturbed.back(), Unit::per_second) + " while killed, " +
                                   std::to_string(calls.crashed) + " calls crashed");
  }

  figures::Report report(options);
  report.add({.figure = {}, .what = "undisturbed", .value = figures::median(undisturbed), .unit = Unit::per_second});
  report.add({.figure = {},
              .what = "while workers are killed",
              .value = figures::median(disturbed),
              .unit = Unit::per_second});
  report.add({.figure = {},
              .what = "workers killed",
              .value = static_cast<double>(killer.kills()) / figures::to_seconds(under_fire),
              .unit = Unit::per_second});
  report.add({.figure = "D2",
              .what = "the rate under kills, of the undisturbed one",
              .value = figures::median(ratios) * 100,
              .unit = Unit::percent,
              .at_least = 80});
  report.add({.figure = {}, .what = "calls that returned their result", .value = static_cast<double>(calls.completed)});
  report.add(
      {.figure = {}, .what = "calls that failed with worker_crashed", .value = static_cast<double>(calls.crashed)});
  const auto unaccounted = static_cast<double>(calls.not_ended_once() + calls.wrong);
  report.add(
      {.figure = "D2", .what = "calls that ended otherwise, twice or not at all", .value = unaccounted, .at_most = 0});
  if (!calls.first_wrong.empty()) report.note("The first that ended otherwise: " + calls.first_wrong);
  report.note(std::to_string(options.count("workers")) + " workers, " + std::to_string(options.count("depth")) +
              " calls in flight; " + std::to_string(calls.submitted()) +
              " calls in all. The ratio is the median of the rounds'.");
  report.print();
  return unaccounted == 0 ? 0 : 1;
}
