// C2: whether a program whose pools are up and a lease of which is out makes a system call while it has nothing to do.
// It is watched from another process: a thread that was on no CPU in all that time can have made none.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "figures/manager.hpp"
#include "figures/report.hpp"
#include "support/activity.hpp"

using leasepool::ExecutorBackend;
using leasepool::test::Activities;

namespace bench_idle {
std::uint64_t same(std::uint64_t value) { return value; }
}  // namespace bench_idle
LEASEPOOL_REGISTER(bench_idle::same);

namespace {

leasepool::Task<> call_often(const leasepool::ExecutorLease& lease) {
  for (std::uint64_t i = 0; i < 1000; ++i) {
    auto call = lease.run(bench_idle::same, i);
    (void)co_await call;
  }
}

// The program that is to be idle: works for a while, says so, and waits for its end.
void run_program(const figures::Options& options, int say_idle, int hear_end) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);  // so that the fork servers are of its family
  leasepool::init();
  leasepool::Loop loop;
  const std::size_t workers = options.count("workers");
  leasepool::LeasedExecutorManager threads(loop, figures::manager_options(ExecutorBackend::thread, 2, workers));
  leasepool::LeasedExecutorManager processes(loop, figures::manager_options(ExecutorBackend::process, 2, workers));
  leasepool::WorkGrinder grinder(threads);
  figures::start(loop, threads);
  figures::start(loop, processes);
  grinder.start_async([](const leasepool::Result<void>&) {});
  const leasepool::ExecutorLease on_threads = figures::acquire(loop, threads);
  const leasepool::ExecutorLease on_processes = figures::acquire(loop, processes);
  loop.block_on(call_often(on_threads));
  loop.block_on(call_often(on_processes));

  const std::jthread end([&] {
    char byte = 0;
    (void)!::read(hear_end, &byte, 1);  // until the other end is closed
    loop.stop();
  });
  (void)!::write(say_idle, "i", 1);
  loop.run();
}

// A process and what it has started. Only those are looked at that were there at the beginning: what comes is found by
// its parent's having run.
std::vector<pid_t> family_of(pid_t program) {
  std::vector<pid_t> family = leasepool::test::child_processes();
  std::erase(family, ::getpid());
  if (std::ranges::find(family, program) == family.end()) throw std::runtime_error("the program is gone");
  return family;
}

std::uint64_t times_run(const Activities& before, const Activities& after) {
  std::uint64_t times = 0;
  for (const auto& [key, now] : after) {
    const auto then = before.find(key);
    times += then == before.end() ? std::uint64_t{1} : now.times - then->second.times;
  }
  for (const auto& [key, then] : before)
    if (!after.contains(key)) ++times;
  return times;
}

std::size_t processes_in(const Activities& activities) {
  std::vector<pid_t> processes;
  for (const auto& [key, activity] : activities) processes.push_back(key.first);
  std::ranges::sort(processes);
  return static_cast<std::size_t>(std::ranges::unique(processes).begin() - processes.begin());
}

}  // namespace

int main(int argc, char** argv) {
  const figures::Options options(argc, argv, "What runs in a program that has nothing to do.",
                                 {{"seconds", 10, "of idleness"},
                                  {"settle", 1, "seconds before, for what was done last to come to rest"},
                                  {"workers", 2, "of each pool"}},
                                 {{"seconds", 0.5, {}}, {"settle", 0.3, {}}});
  int idle[2];
  int end[2];
  if (::pipe(idle) != 0 || ::pipe(end) != 0) return 1;
  const pid_t program = ::fork();
  if (program == 0) {
    ::close(idle[0]);
    ::close(end[1]);
    run_program(options, idle[1], end[0]);
    return 0;
  }
  ::close(idle[1]);
  ::close(end[0]);
  char byte = 0;
  if (::read(idle[0], &byte, 1) != 1) {
    std::fprintf(stderr, "%s: the program did not become idle\n", options.program().c_str());
    return 1;
  }
  std::this_thread::sleep_for(options.seconds("settle"));
  const std::vector<pid_t> family = family_of(program);
  const Activities before = leasepool::test::activities_of(family);
  figures::progress(options, "watching " + std::to_string(before.size()) + " threads for " +
                                 figures::text_of(options.number("seconds") * 1e9, figures::Unit::nanoseconds));
  std::this_thread::sleep_for(options.seconds("seconds"));
  const Activities after = leasepool::test::activities_of(family_of(program));
  ::close(end[1]);
  ::waitpid(program, nullptr, 0);

  const std::string difference = leasepool::test::difference(before, after);
  const bool counts = std::ranges::all_of(before, [](const auto& entry) { return entry.second.times > 0; });
  if (!counts) {
    std::fprintf(stderr, "%s: this kernel has no /proc/PID/schedstat\n", options.program().c_str());
    return 1;
  }
  figures::Report report(options);
  report.add({.figure = "C2",
              .what = "times that a thread ran while idle",
              .value = static_cast<double>(times_run(before, after)),
              .at_most = 0});
  char text[300];
  std::snprintf(
      text, sizeof text,
      "%zu threads in %zu processes (program, fork servers, workers) in %g s: pools of both backends, a lease "
      "of each out, a grinder. A thread that was on no CPU has made no system call.",
      before.size(), processes_in(before), options.number("seconds"));
  report.note(text);
  if (!difference.empty()) report.note(difference);
  report.print();
}
