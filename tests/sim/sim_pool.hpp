// SimPool: a pool of imaginary workers on a virtual clock. Its calls take as long as the test says; its workers can
// crash; it behaves as threads (nothing can be killed) or as processes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/intrusive_queue.hpp"
#include "pool/pool.hpp"
#include "sim_scheduler.hpp"

namespace leasepool::test {

// What the test decides for all pools, and what it may look at.
struct SimWorld {
  std::function<Duration()> next_start_delay = [] { return Duration(0); };
  std::function<bool()> next_start_fails = [] { return false; };
  std::function<Duration()> next_run_time = [] { return Duration(0); };
  bool kills = true;  // as processes
  std::vector<std::weak_ptr<class SimPool>> pools;
  std::size_t double_leases = 0;  // a pool that got calls of two leases at once
  std::size_t late_submits = 0;   // a pool that got a call after its close
  std::optional<TimePoint> last_failed_start;
};

class SimPool final : public detail::Pool, public std::enable_shared_from_this<SimPool> {
 public:
  SimPool(SimScheduler& scheduler, SimWorld& world, std::size_t workers)
      : scheduler_(scheduler), world_(world), workers_(workers) {}

  void start(std::move_only_function<void(Result<void>)> ready) override {
    const MemoryPause pause;
    const bool fails = world_.next_start_fails();
    scheduler_.call_at(scheduler_.now() + world_.next_start_delay(),
                       [self = shared_from_this(), fails, ready = std::move(ready)]() mutable {
                         if (self->closing_) return;
                         self->failed_ = fails;
                         if (fails) self->world_.last_failed_start = self->scheduler_.now();
                         fails ? ready(detail::failure(Errc::pool_broken, "simulated")) : ready({});
                       });
  }

  void submit(std::unique_ptr<detail::Job> job) override {
    const MemoryPause pause;
    if (closing_) ++world_.late_submits;
    if (!busy_.empty() && busy_.front()->state.lease != job->state.lease) ++world_.double_leases;
    queue_.push_back(std::move(job));
    dispatch();
  }

  bool withdraw(detail::Job& job, const Error& error) override {
    if (started(job)) return false;
    end(queue_.remove(job), error);
    return true;
  }

  bool interrupt(detail::Job& job, Error error) override {
    if (!world_.kills) {
      job.state.stop.request_stop();
      return false;
    }
    auto taken = take(job.state.id);
    end(std::move(taken), std::move(error));
    const MemoryPause pause;
    scheduler_.defer([self = shared_from_this()] { self->dispatch(); });
    return true;
  }

  void abort(const Error& error, detail::Ended /*ended*/) override {
    end_waiting(error);
    if (!world_.kills) {
      for (const auto& job : busy_) job->state.stop.request_stop();
      return;
    }
    for (auto begun = std::exchange(busy_, {}); auto& job : begun) end(std::move(job), error);
  }
  void drain(const Error& error) noexcept override {
    closing_ = true;
    end_waiting(error);
  }
  void close(std::move_only_function<void()> closed) noexcept override {
    drain(detail::closed_before_begun("simulated"));
    closed_ = std::move(closed);
    finish_if_idle();
  }
  void kill() override {
    const MemoryPause pause;
    if (closed_) scheduler_.defer(std::exchange(closed_, {}));
  }
  void close_now(TimePoint /*deadline*/) noexcept override {
    drain(detail::closed_before_begun("simulated"));
    closed_ = {};
    if (world_.kills) busy_.clear();
  }

  // A worker dies with what it runs, or before it has begun that.
  void crash(bool had_begun = true) {
    if (!world_.kills || busy_.empty()) return;
    auto job = take(busy_.front()->state.id);
    if (had_begun || closing_) {
      end(std::move(job), {Errc::worker_crashed, "simulated"});
    } else {
      detail::Job& waiting = *job;
      job->state.started.store(TimePoint{});
      queue_.push_front(std::move(job));
      waiting.state.lease->job_given_back(waiting.state.id);
    }
    const MemoryPause pause;
    scheduler_.call_at(scheduler_.now() + world_.next_start_delay(), [self = shared_from_this()] { self->dispatch(); });
  }
  [[nodiscard]] bool in_service() const noexcept { return !closing_ && !failed_; }
  [[nodiscard]] bool empty() const noexcept { return busy_.empty() && queue_.empty(); }

 private:
  static bool started(const detail::Job& job) { return job.state.started.load() != TimePoint{}; }

  void dispatch() {
    const MemoryPause pause;
    while (!queue_.empty() && busy_.size() < workers_) {
      auto job = queue_.pop_front();
      const auto lease = job->state.lease;
      const std::uint64_t id = job->state.id;
      const bool reports_start = job->state.reports_start;
      job->state.started.store(scheduler_.now());
      busy_.push_back(std::move(job));
      scheduler_.call_at(scheduler_.now() + world_.next_run_time(), [self = shared_from_this(), id] {
        auto ended = self->take(id);
        if (!ended) return;
        run(*ended);
        const auto sink = ended->state.lease;
        sink->job_ended(std::move(ended));
        self->dispatch();
        self->finish_if_idle();
      });
      const MemoryResume resume;
      if (reports_start) lease->job_started(id, scheduler_.now());
    }
  }
  static void run(detail::Job& job) {  // what the function allocates is its own affair
    const MemoryPause pause;
    job.run();
  }
  std::unique_ptr<detail::Job> take(std::uint64_t id) {
    for (auto job = busy_.begin(); job != busy_.end(); ++job) {
      if ((*job)->state.id != id) continue;
      auto taken = std::move(*job);
      busy_.erase(job);
      return taken;
    }
    return nullptr;
  }
  void end(std::unique_ptr<detail::Job> job, Error error) {
    job->fail(std::move(error));
    const auto lease = job->state.lease;
    lease->job_ended(std::move(job));
    finish_if_idle();
  }
  void end_waiting(const Error& error) {
    while (!queue_.empty()) end(queue_.pop_front(), error);
  }
  void finish_if_idle() {
    const MemoryPause pause;
    if (closing_ && closed_ && empty()) scheduler_.defer(std::exchange(closed_, {}));
  }

  SimScheduler& scheduler_;
  SimWorld& world_;
  const std::size_t workers_;
  detail::IntrusiveQueue<detail::Job> queue_;
  std::vector<std::unique_ptr<detail::Job>> busy_;
  std::move_only_function<void()> closed_;
  bool closing_ = false;
  bool failed_ = false;
};

}  // namespace leasepool::test
