// Queued calls: what one costs to submit, to run and to cancel with many others waiting, and its memory.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <stop_token>

#include "allocations.hpp"
#include "manager.hpp"
#include "scale.hpp"

using leasepool::ExecutorBackend;
using leasepool::Result;

namespace {

std::atomic<bool>* gate = nullptr;

}  // namespace

namespace bench_scale {

std::uint64_t same(std::uint64_t value) { return value; }

void wait_for_gate() {
  while (!gate->load()) ::usleep(20);
}

}  // namespace bench_scale
LEASEPOOL_REGISTER(bench_scale::same);
LEASEPOOL_REGISTER(bench_scale::wait_for_gate);

namespace figures {

void map_gate() {
  void* const memory = ::mmap(nullptr, sizeof *gate, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  gate = new (memory) std::atomic<bool>(false);
}

namespace {

constexpr std::size_t kWorkers = 2;
constexpr std::size_t kCancelled = 50;

// A pool all of whose workers are held, so that calls queue.
class HeldPool {
 public:
  explicit HeldPool(ExecutorBackend backend) : manager_(loop_, manager_options(backend, 1, kWorkers)) {
    start(loop_, manager_);
    lease_ = acquire(loop_, manager_);
  }

  void hold() {
    gate->store(false);
    for (std::size_t i = 0; i < kWorkers; ++i) {
      lease_.run_async(bench_scale::wait_for_gate, [](const Result<void>&) {});
    }
  }

  void submit(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      lease_.run_async(bench_scale::same, i, [this](const Result<std::uint64_t>& result) { ended(result); });
    }
    left_ += count;
  }
  void submit_with_deadlines(std::size_t count) {
    const auto calls = lease_.with({.queue_timeout = std::chrono::hours(1)});
    for (std::size_t i = 0; i < count; ++i) {
      calls.run_async(bench_scale::same, i, [this](const Result<std::uint64_t>& result) { ended(result); });
    }
    left_ += count;
  }

  // With those to be cancelled spread evenly over all.
  void submit_cancellable(std::size_t count, const std::stop_token& token) {
    const auto calls = lease_.with(token);
    for (std::size_t i = 0; i < kCancelled; ++i) {
      submit(count / kCancelled - 1);
      calls.run_async(bench_scale::same, i, [this](const Result<std::uint64_t>&) { ended_cancelled(); });
    }
    cancellable_left_ = kCancelled;
  }
  void submit_all_cancellable(std::size_t count, const std::stop_token& token) {
    const auto calls = lease_.with(token);
    for (std::size_t i = 0; i < count; ++i) {
      calls.run_async(bench_scale::same, i, [this](const Result<std::uint64_t>&) { ended_cancelled(); });
    }
    cancellable_left_ = count;
  }
  void run_until_cancelled() { loop_.run(); }
  void release() { gate->store(true); }

  double run_all() {
    const std::size_t all = left_;
    Stopwatch clock(Clock::wall);
    gate->store(true);
    loop_.run();
    return clock.lap(all);
  }

 private:
  void ended(const Result<std::uint64_t>& result) {
    if (!result) std::abort();  // nothing ends these
    if (--left_ == 0) loop_.stop();
  }
  void ended_cancelled() {
    if (--cancellable_left_ == 0) loop_.stop();
  }

  leasepool::Loop loop_;
  leasepool::LeasedExecutorManager manager_;
  leasepool::ExecutorLease lease_;
  std::size_t left_ = 0;
  std::size_t cancellable_left_ = 0;
};

void measure_calls(ExecutorBackend backend, std::size_t count, std::size_t passes, Costs& costs) {
  HeldPool pool(backend);
  for (std::size_t pass = 0; pass <= passes; ++pass) {
    costs.begin_pass(pass);
    pool.hold();
    Stopwatch clock(Clock::cpu);
    pool.submit(count);
    costs.add("submit", clock.lap(count));
    costs.add("run", pool.run_all());

    pool.hold();
    clock = Stopwatch(Clock::cpu);
    pool.submit_with_deadlines(count);
    costs.add("submit with a queue_timeout", clock.lap(count));
    costs.add("run with a queue_timeout", pool.run_all());

    pool.hold();
    std::stop_source source;
    pool.submit_cancellable(count, source.get_token());
    clock = Stopwatch(Clock::cpu);
    source.request_stop();
    pool.run_until_cancelled();
    costs.add("cancel", clock.lap(kCancelled));
    (void)pool.run_all();

    pool.hold();
    std::stop_source all;
    pool.submit_all_cancellable(count, all.get_token());
    clock = Stopwatch(Clock::cpu);
    all.request_stop();
    pool.run_until_cancelled();
    costs.add("cancel all", clock.lap(count));
    pool.release();
  }
}

double bytes_of_a_call(ExecutorBackend backend, std::size_t count) {
  HeldPool pool(backend);
  pool.hold();
  count_allocations(true);
  const std::int64_t before = allocated_bytes();
  pool.submit(count);
  const std::int64_t after = allocated_bytes();
  count_allocations(false);
  (void)pool.run_all();
  return static_cast<double>(after - before) / static_cast<double>(count) - sizeof(std::uint64_t);
}

}  // namespace

void scale_calls(const Options& options, Report& report) {
  const std::size_t calls = options.count("calls");
  for (const ExecutorBackend backend : {ExecutorBackend::thread, ExecutorBackend::process}) {
    compare_sizes(options, report,
                  {.name = std::string("call on ") + name_of(backend),
                   .unit = "queued",
                   .small = calls / 100,
                   .large = calls,
                   .measure = [backend](std::size_t count, std::size_t passes, Costs& costs) {
                     measure_calls(backend, count, passes, costs);
                   }});
    report.add({.figure = "M2",
                .what = std::string("memory of a queued call on ") + name_of(backend) + ", beyond its argument",
                .value = bytes_of_a_call(backend, calls),
                .unit = Unit::bytes,
                .at_most = 256});
  }
}

}  // namespace figures
