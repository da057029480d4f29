// What becomes of many quick calls at once, on a virtual clock: one worker does them, unless it gets stuck.
#include <chrono>
#include <memory>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/bound_job.hpp"
#include "pool/dispatcher.hpp"
#include "sim_scheduler.hpp"
#include "sim_worker.hpp"

namespace dispatcher_quick {

using namespace std::chrono_literals;
using leasepool::Duration;
using leasepool::Error;
using leasepool::Result;
using leasepool::detail::Dispatcher;
using leasepool::detail::Job;
using leasepool::detail::JobSink;
using leasepool::test::SimScheduler;
using leasepool::test::SimWorker;
using leasepool::test::SimWorkerHost;

// Counts what ends.
struct Sink final : JobSink {
  void job_started(std::uint64_t /*job_id*/, leasepool::TimePoint /*started*/) override {}
  void job_given_back(std::uint64_t /*job_id*/) override {}
  void job_ended(std::unique_ptr<Job> /*job*/) override { ++ended; }
  std::size_t ended = 0;
};

// Two workers and calls of one function.
struct Pool {
  Pool() {
    host.answered = [this](SimWorker& worker) {
      (&worker == workers[0].get() ? by_first : by_second) += 1;
      auto ended = std::exchange(worker.ended, nullptr);
      worker.idle() ? dispatcher->became_idle(worker) : dispatcher->answered(worker);
      if (ended) leasepool::detail::end_at_lease(std::move(ended));
      dispatcher->dispatch();
    };
    host.begun = [](std::uint64_t) {};
    host.next_lag = [] { return Duration(10us); };
    host.next_run_time = [this](leasepool::detail::FunctionId) {
      return ++begun == slow_one ? Duration(1s) : run_time;
    };
    dispatcher->reserve(2);
    for (int i = 0; i < 2; ++i) {
      workers.push_back(std::make_shared<SimWorker>(scheduler, host));
      dispatcher->join(*workers.back());
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    dispatcher->refuse(Error(leasepool::Errc::cancelled, "over"));
    dispatcher->close();
  }

  void submit(std::size_t count) {
    const auto drop = [](const Result<int>&) {};
    for (; count > 0; --count) {
      auto job = leasepool::detail::make_job<decltype(drop)>([] { return 1; });
      job->set_receiver(drop);
      job->state.id = (last_id += SimWorker::kFunctions);  // all of the same function
      job->state.lease = sink;
      job->state.submitted = scheduler.now();
      dispatcher->submit(std::move(job));
    }
  }
  // It is known then how long the function takes.
  void warm_up() {
    for (int i = 0; i < 200; ++i) {
      submit(1);
      scheduler.advance(1ms);
    }
    by_first = by_second = begun = sink->ended = 0;
  }

  SimScheduler scheduler;
  SimWorkerHost host;
  Duration run_time = 100ns;
  std::size_t slow_one = 0;  // the n-th call that begins; none
  std::size_t begun = 0;
  std::size_t by_first = 0;
  std::size_t by_second = 0;
  std::uint64_t last_id = 0;
  const std::shared_ptr<Sink> sink = std::make_shared<Sink>();
  std::vector<std::shared_ptr<SimWorker>> workers;
  const std::shared_ptr<Dispatcher> dispatcher = std::make_shared<Dispatcher>(scheduler);
};

}  // namespace dispatcher_quick

TEST_CASE("however many very quick calls wait, one worker is woken for them", "[quick][W2]") {
  dispatcher_quick::Pool pool;
  pool.warm_up();
  pool.submit(5000);
  pool.scheduler.advance(std::chrono::seconds(1));
  CHECK(pool.sink->ended == 5000);
  CHECK(std::min(pool.by_first, pool.by_second) == 0);
}

TEST_CASE("where a line of them is not done soon, both workers are woken", "[quick][W2]") {
  dispatcher_quick::Pool pool;
  pool.run_time = std::chrono::microseconds(1);
  pool.warm_up();
  pool.submit(5000);
  pool.scheduler.advance(std::chrono::seconds(1));
  CHECK(pool.sink->ended == 5000);
  CHECK(std::min(pool.by_first, pool.by_second) > 1000);
}

TEST_CASE("very quick calls behind one that gets stuck go to the other worker", "[quick][W2]") {
  dispatcher_quick::Pool pool;
  pool.warm_up();
  pool.slow_one = 300;
  pool.submit(5000);
  pool.scheduler.advance(std::chrono::milliseconds(5));
  CHECK(pool.sink->ended == 4999);
  pool.scheduler.advance(std::chrono::seconds(1));
  CHECK(pool.sink->ended == 5000);
}
