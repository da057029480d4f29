// Random sequences of everything that can be done to a dispatcher, and of what its workers may do, against the model.
// LEASEPOOL_SIM_ONE_IN sets which part of them runs; LEASEPOOL_SIM_SEED replays one.
#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "dispatcher_model.hpp"
#include "leasepool/detail/bound_job.hpp"
#include "pool/dispatcher.hpp"
#include "sim_scheduler.hpp"
#include "sim_sequences.hpp"
#include "sim_worker.hpp"

namespace dispatcher_sim {

using namespace std::chrono_literals;
using leasepool::Duration;
using leasepool::Errc;
using leasepool::Error;
using leasepool::Result;
using leasepool::detail::Dispatcher;
using leasepool::detail::IntrusiveQueue;
using leasepool::detail::Job;
using leasepool::detail::JobSink;
using leasepool::test::DispatcherModel;
using leasepool::test::SimScheduler;
using leasepool::test::SimWorker;
using leasepool::test::SimWorkerHost;

// A call that is believed to be quick, and is not, is found out when its worker has been busy for 100 us; then what
// waited behind it has waited as long again, at most.
constexpr Duration kMaxPassedOver = 1ms;

class Sequence {
 public:
  explicit Sequence(std::uint64_t seed) : random_(seed) {
    scheduler_.coalesces = one_in(2);
    crashes_ = one_in(2);
    surprises_ = one_in(2);
    all_are_quick_ = one_in(4);
    host_.begun = [this](std::uint64_t id) { model_.begun(id, most_workers_ == 1); };
    host_.answered = [this](SimWorker& worker) { answered(worker); };
    host_.next_lag = [this] { return one_in(2) ? Duration(0) : std::chrono::microseconds(pick(60)); };
    host_.next_run_time = [this](leasepool::detail::FunctionId function) {
      static constexpr Duration kUsual[SimWorker::kFunctions] = {1us, 5us, 50us, 500us, 5ms};
      if (surprises_ && one_in(50)) return Duration(5ms);
      return all_are_quick_ ? Duration(100ns) : kUsual[function];
    };
    const bool fails_to_encode = one_in(4);
    host_.next_cannot_be_encoded = [this, fails_to_encode] { return fails_to_encode && one_in(20); };
    most_workers_ = 1 + pick(4);
    for (std::size_t i = 0; i < most_workers_; ++i) spawn();
    scheduler_.after_callback = [this] { check_now_and_then(); };
  }
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;
  ~Sequence() {
    scheduler_.after_callback = nullptr;
    model_.over = true;
    for (const auto& worker : workers_) worker->dead = true;
    dispatcher_->refuse(Error(Errc::cancelled, "over"));
    for (const auto& worker : workers_) {
      for (auto left = worker->take_all(); !left.empty();) (void)left.pop_front();
    }
    dispatcher_->close();
  }

  void run() {
    const std::size_t steps = 5 + pick(60);
    for (std::size_t i = 0; i < steps; ++i) {
      step();
      if (one_in(3)) continue;
      scheduler_.run_until_idle();
      check_settled();
    }
    end();
  }

 private:
  std::size_t pick(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }
  bool one_in(std::size_t n) { return pick(n) == 0; }

  void step() {
    switch (pick(12)) {
      case 0: return submit_batch();
      case 1: return one_in(8) ? dispatcher_->end_waiting(Error(Errc::cancelled, "aborted")) : withdraw();
      case 2: return time_out();
      case 3: return crashes_ && one_in(3) ? crash() : advance(std::chrono::microseconds(pick(50)));
      case 4: return advance(std::chrono::milliseconds(pick(8)));
      case 5:
      case 6: return advance(std::chrono::microseconds(pick(300)));
      default:
        for (std::size_t left = 1 + pick(one_in(4) ? 80 : 4); left > 0; --left) submit();
    }
  }

  // In small steps, as what is wrong may be over soon.
  void advance(Duration by) {
    for (const leasepool::TimePoint goal = scheduler_.now() + by; scheduler_.now() < goal;) {
      scheduler_.advance(std::min(goal - scheduler_.now(), Duration(250us)));
      check_settled();
    }
  }

  std::unique_ptr<Job> make_job() {
    const auto drop = [](const Result<int>&) {};
    auto job = leasepool::detail::make_job<decltype(drop)>([] { return 1; });
    job->set_receiver(drop);
    job->state.id = ++last_id_;
    job->state.lease = std::shared_ptr<JobSink>(std::shared_ptr<void>(), &model_);
    job->state.submitted = scheduler_.now();
    job->state.reports_start = true;
    model_.submitted(*job);
    return job;
  }
  void submit() { dispatcher_->submit(make_job()); }
  void submit_batch() {
    IntrusiveQueue<Job> jobs;
    for (std::size_t left = 1 + pick(50); left > 0; --left) {
      auto job = make_job();
      job->state.of_batch = true;
      jobs.push_back(std::move(job));
    }
    dispatcher_->submit_batch(std::move(jobs));
  }

  Job* any_job() {
    if (model_.calls().empty()) return nullptr;
    auto call = model_.calls().begin();
    std::advance(call, static_cast<std::ptrdiff_t>(pick(model_.calls().size())));
    return call->second.job;
  }
  void withdraw() {
    Job* const job = any_job();
    if (job == nullptr) return;
    const std::uint64_t id = job->state.id;
    const bool had_begun = model_.has_begun(id);
    const bool withdrawn = dispatcher_->withdraw(*job, Error(Errc::cancelled, "withdrawn"));
    DispatcherModel::require(withdrawn == !model_.calls().contains(id), "what is withdrawn has ended");
    DispatcherModel::require(!withdrawn || !had_begun, "what was begun is not withdrawn");
  }

  // As a pool does with a call that runs too long.
  void time_out() {
    Job* const job = any_job();
    if (job == nullptr || dispatcher_->withdraw(*job, Error(Errc::timed_out, "waited"))) return;
    const auto holder = std::ranges::find_if(workers_, [&](const auto& worker) { return worker->has_job(*job); });
    if (holder == workers_.end()) return;
    const auto worker = *holder;
    dispatcher_->recall_from(*worker);
    auto taken = worker->take(*job);
    if (!worker->wanted()) end_of(*worker);
    leasepool::detail::end_at_lease(std::move(taken), Error(Errc::timed_out, "ran"));
    dispatcher_->dispatch();
  }

  void answered(SimWorker& worker) {
    auto ended = std::exchange(worker.ended, nullptr);
    if (!worker.idle() && !worker.wanted()) {
      end_of(worker);
    } else if (!worker.idle()) {
      dispatcher_->answered(worker);
    } else {
      dispatcher_->became_idle(worker);
    }
    if (ended) {
      ended->run();
      leasepool::detail::end_at_lease(std::move(ended));
    }
    dispatcher_->dispatch();
  }

  void crash() {
    if (workers_.empty()) return;
    const auto worker = workers_[pick(workers_.size())];
    if (std::exchange(worker->dead, true)) return;
    // The parent hears of it later, and may send it calls until then.
    scheduler_.call_at(std::max(worker->last_answer(), scheduler_.now() + host_.next_lag()), [this, worker] {
      if (!worker->buried) bury(*worker);
    });
  }
  void bury(SimWorker& worker) {
    dispatcher_->leave(worker);
    dispatcher_->recall_from(worker);
    for (auto left = worker.take_all(); !left.empty();) {
      auto job = left.pop_front();
      if (!worker.had_begun(*job)) {
        dispatcher_->requeue_front(std::move(job));
      } else {
        leasepool::detail::end_at_lease(std::move(job), Error(Errc::worker_crashed, "simulated"));
      }
    }
    end_of(worker);
    dispatcher_->dispatch();
  }
  void end_of(SimWorker& worker) {
    worker.dead = worker.buried = true;
    dispatcher_->leave(worker);
    std::erase_if(workers_, [&](const auto& known) { return known.get() == &worker; });
    scheduler_.call_at(scheduler_.now() + std::chrono::microseconds(pick(2000)), [this] {
      spawn();
      dispatcher_->dispatch();
    });
  }
  void spawn() {
    workers_.push_back(std::make_shared<SimWorker>(scheduler_, host_));
    dispatcher_->reserve(workers_.size());
    dispatcher_->join(*workers_.back());
  }

  void check_now_and_then() {
    dispatcher_->check_consistency();
    DispatcherModel::require(dispatcher_->idle_workers() <= workers_.size(), "who is idle is a worker");
  }
  void check_settled() { model_.check_waits(scheduler_.now(), dispatcher_->idle_workers() > 0, kMaxPassedOver); }

  void end() {
    const bool refuses = one_in(3);
    if (refuses) {
      dispatcher_->refuse(Error(Errc::cancelled, "closed"));
      submit();
      DispatcherModel::require(!model_.calls().contains(last_id_), "what is submitted after a refusal ends at once");
    }
    for (int i = 0; i < 10'000 && !(model_.calls().empty() && scheduler_.nothing_comes()); ++i) {
      scheduler_.advance(1ms);
      check_settled();
    }
    DispatcherModel::require(model_.calls().empty(), "every call ends");
    DispatcherModel::require(dispatcher_->idle_workers() == most_workers_, "then every worker is idle");
    DispatcherModel::require(scheduler_.nothing_comes(), "then no timer is left");
  }

  std::mt19937_64 random_;
  SimScheduler scheduler_;
  DispatcherModel model_;
  SimWorkerHost host_;
  bool crashes_ = false;
  bool surprises_ = false;
  bool all_are_quick_ = false;
  std::size_t most_workers_ = 1;
  std::uint64_t last_id_ = 0;
  std::vector<std::shared_ptr<SimWorker>> workers_;
  const std::shared_ptr<Dispatcher> dispatcher_ = std::make_shared<Dispatcher>(scheduler_);
};

}  // namespace dispatcher_sim

TEST_CASE("whatever is done to a dispatcher, and whatever its workers do, the model holds", "[model][W2][W4]") {
  leasepool::test::run_sequences([](std::uint64_t seed) { dispatcher_sim::Sequence(seed).run(); });
}
