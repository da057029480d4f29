// Workers: what a call costs on a pool of many.
#include <algorithm>
#include <cstdlib>

#include "manager.hpp"
#include "scale.hpp"

using leasepool::ExecutorBackend;
using leasepool::Result;

namespace bench_scale {
std::uint64_t next(std::uint64_t value) { return value + 1; }
}  // namespace bench_scale
LEASEPOOL_REGISTER(bench_scale::next);

namespace figures {

namespace {

// A pool, and calls on it of which each that ends starts the next.
class Pool {
 public:
  Pool(ExecutorBackend backend, std::size_t workers) : manager_(loop_, manager_options(backend, 1, workers)) {
    start(loop_, manager_);
    lease_ = acquire(loop_, manager_);
  }

  double measure(std::size_t depth, std::size_t count) {
    left_to_submit_ = count;
    left_to_end_ = count;
    Stopwatch clock(Clock::wall);
    for (std::size_t i = 0; i < depth; ++i) submit();
    loop_.run();
    return clock.lap(count);
  }

 private:
  void submit() {
    if (left_to_submit_ == 0) return;
    --left_to_submit_;
    lease_.run_async(bench_scale::next, 7, [this](const Result<std::uint64_t>& result) {
      if (!result) std::abort();
      if (--left_to_end_ == 0) return loop_.stop();
      submit();
    });
  }

  leasepool::Loop loop_;
  leasepool::LeasedExecutorManager manager_;
  leasepool::ExecutorLease lease_;
  std::size_t left_to_submit_ = 0;
  std::size_t left_to_end_ = 0;
};

void measure_workers(ExecutorBackend backend, std::size_t workers, std::size_t passes, std::size_t calls,
                     Costs& costs) {
  Pool pool(backend, workers);
  for (std::size_t pass = 0; pass <= passes; ++pass) {
    costs.begin_pass(pass);
    costs.add("one at a time", pool.measure(1, calls / 4));
    costs.add("64 in flight", pool.measure(64, calls));
  }
}

}  // namespace

void scale_workers(const Options& options, Report& report) {
  const std::size_t calls = options.count("worker-calls");
  for (const ExecutorBackend backend : {ExecutorBackend::thread, ExecutorBackend::process}) {
    compare_sizes(options, report,
                  {.name = std::string("call on ") + name_of(backend),
                   .unit = "workers",
                   .small = 1,
                   .large = options.count("workers"),
                   .measure = [backend, calls](std::size_t workers, std::size_t passes, Costs& costs) {
                     // As many passes over few workers as over many: the calls are as many.
                     measure_workers(backend, workers, std::min<std::size_t>(passes, 3), calls, costs);
                   }});
  }
}

}  // namespace figures
