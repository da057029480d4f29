// A program with nothing to do sleeps: neither the loop nor a worker runs, with pools up, a lease out and its deadline
// pending.
#include <chrono>
#include <future>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"
#include "support/activity.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"
#include "support/sanitized.hpp"
#include "support/skip.hpp"

using leasepool::test::activities_of;
using leasepool::test::child_processes;
using leasepool::test::difference;
using leasepool::test::eventually;

namespace {

std::vector<pid_t> this_and_children() {
  std::vector<pid_t> processes = child_processes();
  processes.push_back(::getpid());
  return processes;
}

// What ran in so long a time.
std::string ran_in(std::chrono::milliseconds time) {
  const auto before = activities_of(this_and_children());
  std::this_thread::sleep_for(time);
  return difference(before, activities_of(this_and_children()));
}

// A manager of each backend, with a lease out that has been used, and a grinder.
class Program {
 public:
  // Returns when it has nothing left to do but to wait for its end.
  Program() : thread_([this] { run(); }) { idle_.get_future().wait(); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() { loop_->stop(); }

 private:
  void run() {
    lp::Loop loop;
    lp::LeasedExecutorManager threads(loop, options_for(ExecutorBackend::thread));
    lp::LeasedExecutorManager processes(loop, options_for(ExecutorBackend::process));
    lp::WorkGrinder grinder(threads);
    std::vector<lp::ExecutorLease> leases;
    loop.block_on(work(threads, processes, grinder, leases));
    loop_ = &loop;
    loop.post([this] { idle_.set_value(); });
    loop.run();
  }

  static lp::Task<> work(lp::LeasedExecutorManager& threads, lp::LeasedExecutorManager& processes,
                         lp::WorkGrinder& grinder, std::vector<lp::ExecutorLease>& leases) {
    for (lp::LeasedExecutorManager* const manager : {&threads, &processes}) {
      co_await manager->start();
      leases.push_back(co_await manager->acquire({.owner = "idler", .lease_duration = 1h}));
      for (int i = 0; i < 100; ++i) CHECK(co_await leases.back().run(square, 3) == 9);
    }
    co_await grinder.start();
  }

  std::promise<void> idle_;
  lp::Loop* loop_ = nullptr;
  std::jthread thread_;
};

}  // namespace

TEST_CASE("a thread that polls is seen to run", "[idle]") {
  const std::jthread polls([](const std::stop_token& stop) {
    while (!stop.stop_requested()) std::this_thread::sleep_for(10ms);
  });
  CHECK(eventually([] { return !ran_in(20ms).empty(); }));
}

TEST_CASE("with pools up and a lease out nothing runs while nothing is to be done", "[idle]") {
  if (leasepool::test::kThreadSanitized) {
    return leasepool::test::skip("ThreadSanitizer has a thread of its own in each process, which wakes by itself");
  }
  const Program program;
  // What was done last takes a moment to come to rest; from then on, nothing is allowed.
  REQUIRE(eventually([] { return ran_in(50ms).empty(); }));
  CHECK(ran_in(1s) == "");
}
