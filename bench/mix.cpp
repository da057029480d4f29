// Whether long calls hold back short ones: calls of a millisecond and of a microsecond, mixed, come to two worker
// processes at random moments; how long the short ones take is held against what is possible at best, where each call
// goes, in order and without loss, to the worker that comes free first.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "figures/manager.hpp"
#include "figures/report.hpp"

using figures::Unit;
using leasepool::Duration;
using leasepool::Histogram;
using leasepool::Result;
using leasepool::TimePoint;
using std::chrono::steady_clock;

namespace bench_mix {

// Takes so long, and gives how long that was: a long call sleeps, as the processors are the loop's, too.
std::int64_t take(std::int64_t nanoseconds) {
  const auto begin = steady_clock::now();
  const Duration wanted(nanoseconds);
  if (wanted >= std::chrono::microseconds(100)) std::this_thread::sleep_for(wanted);
  while (steady_clock::now() - begin < wanted) {
  }
  return (steady_clock::now() - begin).count();
}

}  // namespace bench_mix
LEASEPOOL_REGISTER(bench_mix::take);

namespace {

constexpr Duration kShort = std::chrono::microseconds(1);
constexpr Duration kLong = std::chrono::milliseconds(1);

struct Call {
  bool is_long = false;
  TimePoint submitted{};
  Duration ran{};   // by its function's word
  Duration took{};  // until the caller heard
};

// Calls that come at random moments, at a rate of each kind, whatever becomes of those before.
class Offered {
 public:
  Offered(leasepool::Loop& loop, const leasepool::ExecutorLease& lease, double shorts_per_second,
          double longs_per_second)
      : loop_(loop),
        lease_(lease),
        gap_(shorts_per_second + longs_per_second),
        is_long_(longs_per_second / (shorts_per_second + longs_per_second)) {}

  std::vector<Call> measure(Duration how_long) {
    calls_.clear();
    next_ = steady_clock::now();
    end_ = next_ + how_long;
    submit_due();
    loop_.run();
    return std::move(calls_);
  }

 private:
  void submit_due() {
    for (; next_ < end_ && next_ <= steady_clock::now();
         next_ += std::chrono::duration_cast<Duration>(std::chrono::duration<double>(gap_(random_)))) {
      submit(is_long_(random_));
    }
    if (next_ < end_) {
      timer_ = loop_.call_after(std::max(next_ - steady_clock::now(), Duration(1)), [this] { submit_due(); });
    } else if (in_flight_ == 0) {
      loop_.stop();
    }
  }

  void submit(bool is_long) {
    const std::size_t place = calls_.size();
    calls_.push_back({.is_long = is_long, .submitted = steady_clock::now()});
    ++in_flight_;
    lease_.run_async(bench_mix::take, (is_long ? kLong : kShort).count(),
                     [this, place](const Result<std::int64_t>& ran) {
                       Call& call = calls_[place];
                       call.took = steady_clock::now() - call.submitted;
                       call.ran = Duration(ran.value());
                       if (--in_flight_ == 0 && next_ >= end_) loop_.stop();
                     });
  }

  leasepool::Loop& loop_;
  const leasepool::ExecutorLease& lease_;
  std::mt19937_64 random_{20250106};  // NOLINT(cert-msc51-cpp): as good as any
  std::exponential_distribution<double> gap_;
  std::bernoulli_distribution is_long_;
  std::vector<Call> calls_;
  std::size_t in_flight_ = 0;
  TimePoint next_{};
  TimePoint end_{};
  leasepool::Timer timer_;
};

// What the short calls take where so many workers serve one queue and nothing else costs any time.
Histogram best_possible(const std::vector<Call>& calls, std::size_t workers) {
  Histogram shorts;
  std::priority_queue<TimePoint, std::vector<TimePoint>, std::greater<>> free_at;
  for (std::size_t i = 0; i < workers; ++i) free_at.push(TimePoint());
  for (const Call& call : calls) {
    const TimePoint end = std::max(free_at.top(), call.submitted) + call.ran;
    free_at.pop();
    free_at.push(end);
    if (!call.is_long) shorts.record(end - call.submitted);
  }
  return shorts;
}

}  // namespace

int main(int argc, char** argv) {
  leasepool::init();
  const figures::Options options(argc, argv, "Short calls among long ones.",
                                 {{"workers", 2, "worker processes of the pool"},
                                  {"short", 5000, "calls of 1 us a second"},
                                  {"long", 600, "calls of 1 ms a second"},
                                  {"rounds", 5, "each with its own best possible"},
                                  {"seconds", 3, "length of a round"}},
                                 {{"rounds", 1, {}}, {"seconds", 0.2, {}}});
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(
      loop, figures::manager_options(leasepool::ExecutorBackend::process, 1, options.count("workers")));
  figures::start(loop, manager);
  const leasepool::ExecutorLease lease = figures::acquire(loop, manager);
  Offered offered(loop, lease, options.number("short"), options.number("long"));

  (void)offered.measure(std::chrono::milliseconds(100));  // warms up
  std::vector<double> measured;
  std::vector<double> possible;
  std::vector<double> ratios;
  for (std::size_t i = 0; i < options.count("rounds"); ++i) {
    figures::progress(options, "round " + std::to_string(i + 1));
    const std::vector<Call> calls = offered.measure(options.seconds("seconds"));
    Histogram shorts;
    for (const Call& call : calls) {
      if (!call.is_long) shorts.record(call.took);
    }
    measured.push_back(static_cast<double>(shorts.percentile(99).count()));
    possible.push_back(static_cast<double>(best_possible(calls, options.count("workers")).percentile(99).count()));
    ratios.push_back(measured.back() / possible.back());
  }

  figures::Report report(options);
  report.add({.figure = {}, .what = "short calls, p99", .value = figures::median(measured), .unit = Unit::nanoseconds});
  report.add(
      {.figure = {}, .what = "the best possible, p99", .value = figures::median(possible), .unit = Unit::nanoseconds});
  report.add({.figure = "MIX",
              .what = "p99 of 1 us calls among 1 ms calls, of the best possible",
              .value = figures::median(ratios),
              .unit = Unit::ratio,
              .at_most = 2});
  report.note(std::to_string(options.count("workers")) + " workers; the best possible is a simulation of the same " +
              "arrivals and run times on one queue that costs nothing. Medians of the rounds.");
  report.print();
}
