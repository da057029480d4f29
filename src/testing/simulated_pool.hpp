// SimulatedPool: a pool of imaginary workers on the time of whoever drives its scheduler. Its calls take as long as its
// world says, and run there and then when they end; its workers can crash; it behaves as threads (nothing can be
// killed) or as processes.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/intrusive_queue.hpp"
#include "loop/scheduler.hpp"
#include "pool/pool.hpp"
#include "testing/simulated_world.hpp"

namespace leasepool::detail {

template <class Guards = NoGuards>
class SimulatedPool : public Pool, public std::enable_shared_from_this<SimulatedPool<Guards>> {
  using Own = typename Guards::Own;
  using World = SimulatedWorld<Guards>;

 public:
  SimulatedPool(Scheduler& scheduler, World& world, std::size_t workers, bool is_of_processes = true)
      : scheduler_(scheduler), world_(world), workers_(workers), is_of_processes_(is_of_processes) {}

  void start(std::move_only_function<void(Result<void>)> ready) override {
    [[maybe_unused]] const Own own{};
    const bool fails = world_.next_start_fails();
    scheduler_.call_at(deadline_after(scheduler_.now(), world_.next_start_delay()),
                       [self = this->shared_from_this(), fails, ready = std::move(ready)]() mutable {
                         if (self->closing_) return;
                         Result<void> started =
                             fails ? Result<void>(failure(Errc::pool_broken, "simulated")) : self->initialize();
                         self->failed_ = !started;
                         if (!started) self->world_.last_failed_start = self->scheduler_.now();
                         ready(std::move(started));
                       });
  }

  void submit(std::unique_ptr<Job> job) override {
    [[maybe_unused]] const Own own{};
    if (closing_) ++world_.late_submits;
    if (!busy_.empty() && busy_.front()->state.lease != job->state.lease) ++world_.double_leases;
    if (auto error = refusal(*job)) return end(std::move(job), std::move(*error));
    queue_.push_back(std::move(job));
    dispatch();
  }

  bool withdraw(Job& job, const Error& error) override {
    if (started(job)) return false;
    end(queue_.remove(job), error);
    return true;
  }

  bool interrupt(Job& job, Error error) override {
    if (!kills()) {
      job.state.stop.request_stop();
      return false;
    }
    auto taken = take(job.state.id);
    end(std::move(taken), std::move(error));
    [[maybe_unused]] const Own own{};
    scheduler_.defer([self = this->shared_from_this()] { self->dispatch(); });
    return true;
  }

  void abort(const Error& error, Ended /*ended*/) override {
    end_waiting(error);
    if (!kills()) {
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
    drain(closed_before_begun("simulated"));
    closed_ = std::move(closed);
    finish_if_idle();
  }
  void kill() override {
    [[maybe_unused]] const Own own{};
    if (closed_) scheduler_.defer(std::exchange(closed_, {}));
  }
  void close_now(TimePoint /*deadline*/) noexcept override {
    drain(closed_before_begun("simulated"));
    closed_ = {};
    if (kills()) busy_.clear();
  }

  // A worker dies with what it runs, or before it has begun that. False if none runs anything, or none can die.
  bool crash(bool had_begun = true) {
    if (!kills() || busy_.empty()) return false;
    auto job = take(busy_.front()->state.id);
    if (had_begun || closing_) {
      end(std::move(job), {Errc::worker_crashed, "simulated"});
    } else {
      Job& waiting = *job;
      job->state.started.store(TimePoint{});
      queue_.push_front(std::move(job));
      waiting.state.lease->job_given_back(waiting.state.id);
    }
    [[maybe_unused]] const Own own{};
    scheduler_.call_at(deadline_after(scheduler_.now(), world_.next_start_delay()),
                       [self = this->shared_from_this()] { self->dispatch(); });
    return true;
  }
  // The call that began first ends now.
  bool finish_first() {
    if (busy_.empty()) return false;
    finish(busy_.front()->state.id);
    return true;
  }
  // What runs never ends: as of a thread that was abandoned, when the program ends.
  void forget_running() noexcept { (void)std::exchange(busy_, {}); }
  [[nodiscard]] bool in_service() const noexcept { return !closing_ && !failed_; }
  [[nodiscard]] bool empty() const noexcept { return busy_.empty() && queue_.empty(); }
  [[nodiscard]] std::size_t running() const noexcept { return busy_.size(); }
  [[nodiscard]] std::size_t waiting() const noexcept { return queue_.size(); }

 protected:
  // For who has more in them than this: before the first call; why a call cannot be sent; and a call.
  [[nodiscard]] virtual Result<void> initialize() { return {}; }
  [[nodiscard]] virtual std::optional<Error> refusal(const Job& /*job*/) const { return std::nullopt; }
  virtual void run(Job& job) { job.run(); }

  [[nodiscard]] bool kills() const noexcept { return is_of_processes_ && world_.kills; }

 private:
  static bool started(const Job& job) { return job.state.started.load() != TimePoint{}; }

  void dispatch() {
    [[maybe_unused]] const Own own{};
    while (!queue_.empty() && busy_.size() < workers_) {
      auto job = queue_.pop_front();
      const auto lease = job->state.lease;
      const std::uint64_t id = job->state.id;
      const bool reports_start = job->state.reports_start;
      job->state.started.store(scheduler_.now());
      busy_.push_back(std::move(job));
      scheduler_.call_at(deadline_after(scheduler_.now(), world_.next_run_time()),
                         [self = this->shared_from_this(), id] { self->finish(id); });
      [[maybe_unused]] const typename Guards::Callers callers{};
      if (reports_start) lease->job_started(id, scheduler_.now());
    }
  }
  void finish(std::uint64_t id) {
    auto ended = take(id);
    if (!ended) return;
    {  // what the function allocates is its own affair
      [[maybe_unused]] const Own own{};
      run(*ended);
    }
    const auto sink = ended->state.lease;
    sink->job_ended(std::move(ended));
    dispatch();
    finish_if_idle();
  }
  std::unique_ptr<Job> take(std::uint64_t id) {
    for (auto job = busy_.begin(); job != busy_.end(); ++job) {
      if ((*job)->state.id != id) continue;
      auto taken = std::move(*job);
      busy_.erase(job);
      return taken;
    }
    return nullptr;
  }
  void end(std::unique_ptr<Job> job, Error error) {
    job->fail(std::move(error));
    const auto lease = job->state.lease;
    lease->job_ended(std::move(job));
    finish_if_idle();
  }
  void end_waiting(const Error& error) {
    while (!queue_.empty()) end(queue_.pop_front(), error);
  }
  void finish_if_idle() {
    [[maybe_unused]] const Own own{};
    if (closing_ && closed_ && empty()) scheduler_.defer(std::exchange(closed_, {}));
  }

  Scheduler& scheduler_;
  World& world_;
  const std::size_t workers_;
  const bool is_of_processes_;
  IntrusiveQueue<Job> queue_;
  std::vector<std::unique_ptr<Job>> busy_;
  std::move_only_function<void()> closed_;
  bool closing_ = false;
  bool failed_ = false;
};

}  // namespace leasepool::detail
