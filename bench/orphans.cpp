// W5: how long the fork servers and the workers of a program, and what its functions forked, outlive it when it is
// killed.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "figures/manager.hpp"
#include "figures/report.hpp"
#include "pool/processes.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"

using figures::Unit;
using leasepool::test::ProcessHandle;
using namespace std::chrono_literals;

namespace bench_orphans {

std::atomic<int>* map_count() {
  void* const memory =
      ::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap");
  return new (memory) std::atomic<int>(0);
}

// How many processes have come to where they stay, in this program and in all that it forks.
std::atomic<int>& there() {
  static std::atomic<int>* const count = map_count();
  return *count;
}

// Forks a process that stays in the worker's group, and neither of the two ever ends.
void never_end() {
  (void)!::fork();
  ++there();
  for (;;) ::pause();
}
pid_t fork_server() { return ::getppid(); }
void end_at_once() { ::_exit(3); }

}  // namespace bench_orphans
LEASEPOOL_REGISTER(bench_orphans::never_end);
LEASEPOOL_REGISTER(bench_orphans::fork_server);
LEASEPOOL_REGISTER(bench_orphans::end_at_once);

namespace {

using bench_orphans::there;

constexpr std::size_t kWorkers = 3;
// The program, two fork servers, the workers, and what two of those have forked.
constexpr std::size_t kProcesses = 1 + 2 + kWorkers + 2;

enum class Killed { program, its_group, program_after_a_server };

leasepool::Task<> use_workers(leasepool::Loop& loop, leasepool::LeasedExecutorManager& manager,
                              const leasepool::ExecutorLease& lease, Killed what) {
  if (what == Killed::program_after_a_server) {
    const pid_t server = co_await lease.run(bench_orphans::fork_server);
    ::kill(server, SIGKILL);
    // A worker of the next server shows that the others were handed over.
    lease.run_async(bench_orphans::end_at_once, [](const leasepool::Result<void>&) {});
    while (manager.stats().workers_started <= kWorkers) co_await loop.sleep(1ms);
  }
  for (int i = 0; i < 2; ++i) {
    lease.run_async(bench_orphans::never_end, [](const leasepool::Result<void>&) {});
  }
  co_await loop.sleep(1h);
}

[[noreturn]] void be_the_program(Killed what) {
  if (what == Killed::its_group) ::setpgid(0, 0);
  leasepool::init();
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(loop,
                                           figures::manager_options(leasepool::ExecutorBackend::process, 1, kWorkers));
  figures::start(loop, manager);
  const leasepool::ExecutorLease lease = figures::acquire(loop, manager);
  loop.block_on(use_workers(loop, manager, lease, what));
  ::_exit(1);
}

// What has ended comes to this process, which is a subreaper.
void reap(int flags) {
  while (::waitpid(-1, nullptr, flags) > 0) {
  }
}

// Nanoseconds from the kill to the end of the last of the others.
double measure(Killed what) {
  there() = 0;
  const pid_t program = ::fork();
  if (program < 0) throw std::runtime_error("fork");
  if (program == 0) be_the_program(what);
  const auto all_there = [] {
    reap(WNOHANG);
    return there() == 4 && leasepool::test::child_processes().size() == kProcesses;
  };
  if (!leasepool::test::eventually(all_there)) throw std::runtime_error("the program did not come up");
  std::vector<ProcessHandle> others;
  for (const pid_t process : leasepool::test::child_processes()) {
    if (process != program) others.emplace_back(process);
  }
  ::kill(what == Killed::its_group ? -program : program, SIGKILL);
  const auto gone_after = leasepool::test::time_until_dead(others, 30s);
  if (!gone_after) throw std::runtime_error("processes outlived the program by 30 s");
  reap(0);
  return static_cast<double>(gone_after->count());
}

}  // namespace

int main(int argc, char** argv) try {
  const figures::Options options(argc, argv, "How long workers and fork servers outlive a program that is killed.",
                                 {{"rounds", 20, "programs that are killed in each way"}}, {{"rounds", 1, {}}});
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  (void)there();
  figures::Report report(options);
  struct Way {
    Killed what;
    const char* name;
  };
  for (const Way& way : {Way{Killed::program, "a killed program's processes gone, median"},
                         Way{Killed::its_group, "... killed with its process group"},
                         Way{Killed::program_after_a_server, "... whose first fork server was killed before"}}) {
    std::vector<double> times;
    for (std::size_t i = 0; i < options.count("rounds"); ++i) {
      figures::progress(options, std::to_string(i + 1) + " programs killed");
      times.push_back(measure(way.what));
    }
    report.add({.figure = "W5",
                .what = way.name,
                .value = figures::median(times),
                .unit = Unit::nanoseconds,
                .at_most = 100e6});
  }
  report.note(std::to_string(kProcesses) + " processes: the program, two fork servers, " + std::to_string(kWorkers) +
              " workers, and what the functions of two of them forked.");
  report.print();
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
  return 1;
}
