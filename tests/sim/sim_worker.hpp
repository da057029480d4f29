// SimWorker: a worker process without a process. Its parent's half is the real table of sent calls; the other half
// begins one call after the other on the virtual clock, as src/worker/ does: whoever clears a call's claim first, has
// it.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.hpp"
#include "pool/run_times.hpp"
#include "pool/worker_port.hpp"
#include "processes/sent_calls.hpp"
#include "sim_scheduler.hpp"

namespace leasepool::test {

// What becomes of the workers, and how they behave.
struct SimWorkerHost {
  std::function<void(std::uint64_t call_id)> begun;                 // the worker's half has begun it
  std::function<void(class SimWorker& worker)> answered;            // the parent has taken in an answer, see ended
  std::function<Duration()> next_lag = [] { return Duration(0); };  // of news between the halves
  std::function<Duration(detail::FunctionId)> next_run_time;
  std::function<bool()> next_cannot_be_encoded = [] { return false; };
  detail::RunTimes run_times;
};

class SimWorker final : public detail::WorkerPort, public std::enable_shared_from_this<SimWorker> {
 public:
  SimWorker(SimScheduler& scheduler, SimWorkerHost& host) : scheduler_(scheduler), host_(host) {}

  [[nodiscard]] std::optional<Error> queue(std::unique_ptr<detail::Job>& job) override {
    detail::check(!buried && (idle() || has_credit()), "a job goes to an idle worker, or to one that has credit");
    if (host_.next_cannot_be_encoded()) return Error(Errc::not_serializable, "simulated");
    if (idle()) busy_since_ = scheduler_.now();
    const auto function = function_of(*job);
    unflushed_.push_back({.call = job->state.id, .number = sent_.next_number(), .function = function});
    sent_.add(std::move(job), {.function = function, .size = 100, .expected = host_.run_times.expected(function)});
    return std::nullopt;
  }
  void flush() override {
    if (unflushed_.empty()) return;
    scheduler_.call_at(next_arrival(last_frames_), [self = shared_from_this(), frames = std::exchange(unflushed_, {})] {
      self->frames_.insert(self->frames_.end(), frames.begin(), frames.end());
      self->begin_next();
    });
  }
  [[nodiscard]] bool idle() const noexcept override { return sent_.empty(); }
  [[nodiscard]] bool may_have_more() const noexcept override { return !buried; }
  [[nodiscard]] bool has_credit() noexcept override { return !buried && sent_.has_credit(); }
  [[nodiscard]] bool is_quick() const noexcept override { return sent_.is_short(); }
  [[nodiscard]] bool is_quick_with(std::size_t more) const noexcept override { return sent_.is_short_with(more); }
  [[nodiscard]] bool is_quick_when_full() const noexcept override { return sent_.is_short_when_full(); }
  [[nodiscard]] bool sleeps() const noexcept override { return !runs_ && frames_.empty(); }
  [[nodiscard]] detail::Job* job() const noexcept override { return sent_.running(); }
  [[nodiscard]] TimePoint busy_since() const noexcept override { return busy_since_; }
  [[nodiscard]] bool has_job(const detail::Job& job) const noexcept override { return sent_.holds(job); }
  [[nodiscard]] std::size_t jobs_waiting() const noexcept override { return sent_.waiting(); }
  [[nodiscard]] std::unique_ptr<detail::Job> recall(const detail::Job& job) noexcept override {
    return sent_.recall(job.state.id);
  }
  [[nodiscard]] detail::IntrusiveQueue<detail::Job> recall_first(std::size_t count) noexcept override {
    return sent_.recall_first(count);
  }

  // What the pool does beside its dispatcher.
  [[nodiscard]] bool wanted() const noexcept { return sent_.wanted(); }
  [[nodiscard]] std::unique_ptr<detail::Job> take(const detail::Job& job) noexcept { return sent_.forget(job); }
  [[nodiscard]] detail::IntrusiveQueue<detail::Job> take_all() noexcept { return sent_.forget_all(); }
  [[nodiscard]] bool had_begun(const detail::Job& job) const noexcept {
    return status_->begun.load() == job.state.id || sent_.has_begun(job.state.id);
  }

  // What it had answered by then is heard, and then its parent buries it: nothing of it is heard any more.
  bool dead = false;
  bool buried = false;
  [[nodiscard]] TimePoint last_answer() const noexcept { return last_answer_; }
  // What the answer was for; null if nobody waited for it.
  std::unique_ptr<detail::Job> ended;

  static detail::FunctionId function_of(const detail::Job& job) { return job.state.id % kFunctions; }
  static constexpr detail::FunctionId kFunctions = 5;

 private:
  struct Frame {
    std::uint64_t call;
    std::uint64_t number;
    detail::FunctionId function;
  };

  // News arrives in order, whatever the lag of each.
  TimePoint next_arrival(TimePoint& last) {
    last = std::max(last + Duration(1), scheduler_.now() + host_.next_lag());
    return last;
  }
  void begin_next() {
    while (!dead && !runs_ && !frames_.empty()) {
      const Frame frame = frames_.front();
      frames_.pop_front();
      std::uint64_t claim = frame.call;
      auto& place = status_->claims[frame.number % detail::WorkerStatus::kClaims];
      if (!place.compare_exchange_strong(claim, 0)) continue;  // it was recalled
      runs_ = true;
      status_->begun.store(frame.call);
      host_.begun(frame.call);
      const Duration time = host_.next_run_time(frame.function);
      scheduler_.call_at(scheduler_.now() + time, [self = shared_from_this(), frame, time] { self->end(frame, time); });
    }
  }
  void end(const Frame& frame, Duration time) {
    if (dead) return;
    runs_ = false;
    scheduler_.call_at(next_arrival(last_answer_),
                       [self = shared_from_this(), frame, time] { self->take_answer(frame, time); });
    begin_next();
  }
  void take_answer(const Frame& frame, Duration time) {
    if (buried) return;
    detail::check(sent_.is_due(frame.call), "answers come in the order of the calls");
    host_.run_times.ran(frame.function, time);
    ended = sent_.answered();
    busy_since_ = scheduler_.turn_time();
    host_.answered(*this);
  }

  SimScheduler& scheduler_;
  SimWorkerHost& host_;
  const std::unique_ptr<detail::WorkerStatus> status_ = std::make_unique<detail::WorkerStatus>();
  detail::SentCalls sent_{status_.get()};
  TimePoint busy_since_{};
  std::deque<Frame> unflushed_;
  std::deque<Frame> frames_;
  TimePoint last_frames_{};
  TimePoint last_answer_{};
  bool runs_ = false;
};

}  // namespace leasepool::test
