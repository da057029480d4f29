// K: what fresh worker processes cost, beside fork(), run and waitpid() of this same program without a library: how
// many calls a second each get a worker of their own, how long such a call takes, and when the first call of a lease
// begins whose workers are fresh, beside one whose workers have served before.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "figures/bare_workers.hpp"
#include "figures/manager.hpp"
#include "figures/report.hpp"

using figures::Rate;
using figures::Unit;
using leasepool::ExecutorBackend;
using leasepool::Histogram;
using leasepool::Result;
using leasepool::WorkerReuse;
using std::chrono::steady_clock;

namespace bench_clean {

std::int64_t time_here(std::int64_t /*unused*/) { return steady_clock::now().time_since_epoch().count(); }

}  // namespace bench_clean
LEASEPOOL_REGISTER(bench_clean::time_here);

namespace {

double nanoseconds(leasepool::Duration duration) { return static_cast<double>(duration.count()); }

// One after the other, as a program would do it without a library: the child computes and exits, the parent waits.
Rate fork_run_and_wait(std::size_t count) {
  Rate rate;
  const auto begin = steady_clock::now();
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = steady_clock::now();
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("fork");
    if (child == 0) ::_exit(bench_clean::time_here(0) == 0 ? 1 : 0);
    if (::waitpid(child, nullptr, 0) != child) throw std::runtime_error("waitpid");
    rate.times.record(steady_clock::now() - at);
  }
  rate.per_second = static_cast<double>(count) / figures::to_seconds(steady_clock::now() - begin);
  return rate;
}

leasepool::ManagerOptions options_for(WorkerReuse reuse, std::size_t workers, std::size_t spares) {
  leasepool::ManagerOptions options = figures::manager_options(ExecutorBackend::process, 1, workers);
  options.worker_reuse = reuse;
  options.spare_workers = spares;
  return options;
}

// So many in flight, each on a worker of its own.
Rate fresh_workers(std::size_t in_flight, std::size_t spares, std::size_t count) {
  Rate rate;
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(loop, options_for(WorkerReuse::call, in_flight, spares));
  figures::start(loop, manager);
  const leasepool::ExecutorLease lease = figures::acquire(loop, manager);
  std::size_t to_submit = count;
  std::size_t to_end = count;
  std::move_only_function<void()> submit = [&] {
    if (to_submit == 0) return;
    --to_submit;
    const auto at = steady_clock::now();
    lease.run_async(bench_clean::time_here, 0, [&, at](const Result<std::int64_t>& result) {
      if (!result) throw std::runtime_error(result.error().message());
      rate.times.record(steady_clock::now() - at);
      if (--to_end == 0) return loop.stop();
      submit();
    });
  };
  const auto begin = steady_clock::now();
  for (std::size_t i = 0; i < in_flight; ++i) submit();
  loop.run();
  rate.per_second = static_cast<double>(count) / figures::to_seconds(steady_clock::now() - begin);
  if (manager.stats().workers_recycled != count) throw std::runtime_error("not each call had a worker of its own");
  return rate;
}

// From the acquire of a lease to the beginning of its first call, after a while in which nobody had one.
Histogram first_calls(WorkerReuse reuse, std::size_t count, std::chrono::milliseconds idle) {
  Histogram begins;
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(loop, options_for(reuse, 1, reuse == WorkerReuse::always ? 0 : 1));
  figures::start(loop, manager);
  const auto body = [&]() -> leasepool::Task<> {
    for (std::size_t i = 0; i < count; ++i) {
      co_await loop.sleep(idle);
      const auto at = steady_clock::now();
      const leasepool::ExecutorLease lease = co_await manager.acquire();
      auto call = lease.run(bench_clean::time_here, 0);
      const std::int64_t began = co_await call;
      begins.record(steady_clock::time_point(steady_clock::duration(began)) - at);
    }
  };
  loop.block_on(body());
  return begins;
}

void add_time(figures::Report& report, std::string what, leasepool::Duration time) {
  report.add({.figure = {}, .what = std::move(what), .value = nanoseconds(time), .unit = Unit::nanoseconds});
}

}  // namespace

int main(int argc, char** argv) try {
  leasepool::init();
  const figures::Options options(argc, argv, "What fresh worker processes cost.",
                                 {{"calls", 2000, "each on a worker of its own"},
                                  {"leases", 300, "whose first call is timed"},
                                  {"in-flight", 1, "calls at once, and workers that serve"},
                                  {"spares", 4, "fresh workers kept ready"}},
                                 {{"calls", 40, {}}, {"leases", 5, {}}});
  figures::Report report(options);
  const std::size_t calls = options.count("calls");
  figures::progress(options, "bare fork");
  const Rate bare = fork_run_and_wait(calls);
  figures::progress(options, "a worker for each call, by hand");
  const Rate floor = figures::bare_workers(options.count("spares"), calls, bench_clean::time_here);
  figures::progress(options, "a worker for each call");
  const Rate fresh = fresh_workers(options.count("in-flight"), options.count("spares"), calls);
  figures::progress(options, "first calls of leases");
  const Histogram old_workers = first_calls(WorkerReuse::always, options.count("leases"), std::chrono::milliseconds(5));
  const Histogram new_workers = first_calls(WorkerReuse::lease, options.count("leases"), std::chrono::milliseconds(5));

  report.add(
      {.figure = {}, .what = "fork, run and wait of this program", .value = bare.per_second, .unit = Unit::per_second});
  add_time(report, "... p50", bare.times.percentile(50));
  report.add({.figure = {},
              .what = "calls with a worker of their own, by hand",
              .value = floor.per_second,
              .unit = Unit::per_second});
  report.add({.figure = {},
              .what = "... of what bare fork, run and wait makes",
              .value = floor.per_second / bare.per_second,
              .unit = Unit::ratio});
  add_time(report, "... p50", floor.times.percentile(50));
  report.add({.figure = {},
              .what = "... p99, of a bare fork's p50",
              .value = nanoseconds(floor.times.percentile(99)) / nanoseconds(bare.times.percentile(50)),
              .unit = Unit::ratio});
  report.add(
      {.figure = {}, .what = "calls with a worker of their own", .value = fresh.per_second, .unit = Unit::per_second});
  report.add({.figure = "K",
              .what = "... of what bare fork, run and wait makes",
              .value = fresh.per_second / bare.per_second,
              .unit = Unit::ratio,
              .at_least = 0.7});
  report.add({.figure = {},
              .what = "... of what the same by hand makes",
              .value = fresh.per_second / floor.per_second,
              .unit = Unit::ratio});
  add_time(report, "... p50", fresh.times.percentile(50));
  report.add({.figure = "K",
              .what = "... p99, of a bare fork's p50",
              .value = nanoseconds(fresh.times.percentile(99)) / nanoseconds(bare.times.percentile(50)),
              .unit = Unit::ratio,
              .at_most = 2});
  report.add({.figure = {},
              .what = "... p99, of the same by hand",
              .value = nanoseconds(fresh.times.percentile(99)) / nanoseconds(floor.times.percentile(99)),
              .unit = Unit::ratio});
  add_time(report, "first call of a lease begins, old workers, p50", old_workers.percentile(50));
  add_time(report, "... fresh workers", new_workers.percentile(50));
  report.add({.figure = "K",
              .what = "... later than with old ones",
              .value = nanoseconds(new_workers.percentile(50) - old_workers.percentile(50)),
              .unit = Unit::nanoseconds,
              .at_most = 50'000});
  report.note("One after the other, bare forks and, by default, calls. Leases after 5 ms without one.");
  report.print();
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
  return 1;
}
