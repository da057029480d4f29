// Where the time of one call goes, in nanoseconds: when it is on its way, begins and is heard of, what it costs each
// side when there are many, and the pieces that can be measured by themselves.
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "figures/manager.hpp"
#include "figures/report.hpp"
#include "leasepool/detail/bound_job.hpp"
#include "support/activity.hpp"
#include "wire/frame.hpp"

using figures::Unit;
using leasepool::ExecutorBackend;
using leasepool::Histogram;
using leasepool::Result;
using std::chrono::steady_clock;

namespace bench_budget {

// When it ran, by a clock that all processes share.
std::int64_t time_here(std::int64_t /*unused*/) { return steady_clock::now().time_since_epoch().count(); }
std::int64_t same(std::int64_t value) { return value; }

}  // namespace bench_budget
LEASEPOOL_REGISTER(bench_budget::time_here);
LEASEPOOL_REGISTER(bench_budget::same);

namespace {

void add(figures::Report& report, std::string what, double nanoseconds) {
  report.add({.figure = {}, .what = std::move(what), .value = nanoseconds, .unit = Unit::nanoseconds});
}

// One call after the other, each from the callback of the one before.
class OneAtATime {
 public:
  OneAtATime(leasepool::Loop& loop, const leasepool::ExecutorLease& lease, std::size_t calls)
      : loop_(loop), lease_(lease), left_(calls) {}

  void run() {
    submit();
    loop_.run();
  }
  void add_rows(figures::Report& report, const std::string& of) const {
    const auto p50 = [](const Histogram& histogram) { return static_cast<double>(histogram.percentile(50).count()); };
    add(report, of + ", one at a time: until run_async() has returned", p50(returned_));
    add(report, of + ", one at a time: until the function begins", p50(began_));
    add(report, of + ", one at a time: until the callback", p50(heard_));
  }

 private:
  void submit() {
    const auto begin = steady_clock::now();
    lease_.run_async(bench_budget::time_here, 0, [this, begin](const Result<std::int64_t>& result) {
      heard_.record(steady_clock::now() - begin);
      if (!result) std::abort();
      began_.record(steady_clock::time_point(steady_clock::duration(*result)) - begin);
      if (--left_ == 0) return loop_.stop();
      submit();
    });
    returned_.record(steady_clock::now() - begin);
  }

  leasepool::Loop& loop_;
  const leasepool::ExecutorLease& lease_;
  std::size_t left_;
  Histogram returned_;
  Histogram began_;
  Histogram heard_;
};

double cpu_of_this_thread() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// Of all other threads of the program and of the processes that it started.
double cpu_of_others() {
  std::vector<pid_t> processes = leasepool::test::child_processes();
  processes.push_back(::getpid());
  double nanoseconds = 0;
  for (const auto& [thread, activity] : leasepool::test::activities_of(processes)) {
    nanoseconds += static_cast<double>(activity.nanoseconds);
  }
  return nanoseconds;
}

// So many in flight all the time: what a call costs where.
void measure_many(leasepool::Loop& loop, const leasepool::ExecutorLease& lease, std::size_t depth, std::size_t calls,
                  figures::Report& report, const std::string& of) {
  std::size_t to_submit = calls;
  std::size_t to_end = calls;
  std::function<void()> submit = [&] {
    if (to_submit == 0) return;
    --to_submit;
    lease.run_async(bench_budget::same, 7, [&](const Result<std::int64_t>& result) {
      if (!result) std::abort();
      if (--to_end == 0) return loop.stop();
      submit();
    });
  };
  const double others = cpu_of_others();
  const double here = cpu_of_this_thread();
  const auto begin = steady_clock::now();
  for (std::size_t i = 0; i < depth; ++i) submit();
  loop.run();
  const auto each = [&](double nanoseconds) { return nanoseconds / static_cast<double>(calls); };
  const std::string many = of + ", " + std::to_string(depth) + " in flight: ";
  const auto took = static_cast<double>(std::chrono::nanoseconds(steady_clock::now() - begin).count());
  add(report, many + "wall time of a call", each(took));
  add(report, many + "CPU time of the loop's thread", each(cpu_of_this_thread() - here));
  const double workers = cpu_of_others() - others;
  if (workers <= 0) throw std::runtime_error(of + ": the workers' CPU time was not found");
  add(report, many + "CPU time of the workers", each(workers));
}

void measure_backend(const figures::Options& options, ExecutorBackend backend, figures::Report& report) {
  const std::string of = figures::name_of(backend);
  figures::progress(options, of);
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(loop, figures::manager_options(backend, 1, 2));
  figures::start(loop, manager);
  const leasepool::ExecutorLease lease = figures::acquire(loop, manager);
  OneAtATime(loop, lease, options.count("calls") / 10 + 1).run();  // warms up
  OneAtATime one(loop, lease, options.count("calls"));
  one.run();
  one.add_rows(report, of);
  for (const std::size_t depth : {std::size_t{64}, std::size_t{1024}})
    measure_many(loop, lease, depth, options.count("calls"), report, of);
}

// The median of several means.
template <class Body>
double cost_of(std::size_t times, Body body) {
  std::vector<double> means;
  for (int i = 0; i < 11; ++i) {
    const auto begin = steady_clock::now();
    for (std::size_t j = 0; j < times; ++j) body();
    means.push_back(static_cast<double>(std::chrono::nanoseconds(steady_clock::now() - begin).count()) /
                    static_cast<double>(times));
  }
  return figures::median(std::move(means));
}

struct Drop {
  void operator()(const Result<std::int64_t>& /*result*/) const {}
};

// As the library has it: whoever runs it does not see what it is.
std::unique_ptr<leasepool::detail::Job> bind_job() {
  auto job = leasepool::detail::make_job<Drop>(bench_budget::same, 7);
  job->set_receiver({});
  return job;
}
std::unique_ptr<leasepool::detail::Job> (*volatile const make_job)() = bind_job;

void measure_pieces(const figures::Options& options, figures::Report& report) {
  figures::progress(options, "pieces");
  const std::size_t times = options.count("calls");
  std::int64_t sum = 0;
  add(report, "piece: a reading of the clock",
      cost_of(times, [&] { sum += leasepool::detail::monotonic_now().time_since_epoch().count(); }));
  add(report, "piece: binding, running, delivering and dropping a job", cost_of(times, [] {
        const auto job = make_job();
        job->run();
        job->deliver();
      }));
  const auto bound = make_job();
  add(report, "piece: encoding an argument of 8 bytes into a frame", cost_of(times, [&] {
        leasepool::detail::Bytes frame = leasepool::detail::begin_frame();
        leasepool::detail::Descriptors descriptors;
        sum += bound->encode(frame, descriptors, 1024).has_value() ? 1 : 0;
        leasepool::detail::finish_frame(frame, leasepool::detail::FrameType::call, 1, 2);
      }));
  leasepool::Loop loop;
  add(report, "piece: a turn of the loop that runs one posted function", cost_of(times, [&] {
        loop.post([&] { loop.stop(); });
        loop.run();
      }));
  if (sum == 0) std::abort();  // also keeps the readings from being optimized away
}

}  // namespace

int main(int argc, char** argv) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);  // so that the fork servers are of its family, and their time counts
  leasepool::init();
  const figures::Options options(argc, argv, "Where the time of one call goes.", {{"calls", 100'000, "of each kind"}},
                                 {{"calls", 1000, {}}});
  figures::Report report(options);
  measure_backend(options, ExecutorBackend::thread, report);
  measure_backend(options, ExecutorBackend::process, report);
  measure_pieces(options, report);
  report.note("Two workers, an argument and a result of 8 bytes. Times of one at a time are medians from the call's "
              "beginning; the others are means.");
  report.print();
}
