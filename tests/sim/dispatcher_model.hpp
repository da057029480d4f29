// What must hold of a dispatcher whatever is done to it and to its workers. The model knows each call's life; it does
// not know how calls are handed out.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "leasepool/detail/job.hpp"

namespace leasepool::test {

class DispatcherModel final : public detail::JobSink {
 public:
  // Of a call that has not ended.
  struct Call {
    detail::Job* job = nullptr;
    bool begun = false;  // by a worker
    bool start_told = false;
    std::optional<TimePoint> passed_over_since;  // it waits, and a worker has nothing to do
  };

  static void require(bool holds, std::string_view what) {
    if (!holds) throw std::runtime_error("does not hold: " + std::string(what));
  }

  void submitted(detail::Job& job) {
    require(calls_.emplace(job.state.id, Call{.job = &job, .passed_over_since = {}}).second, "an id is used once");
  }

  // A worker has begun it. Alone, it begins them in the order in which they came.
  void begun(std::uint64_t id, bool alone) {
    const auto call = calls_.find(id);
    require(call != calls_.end(), "what has ended is not begun");
    require(!std::exchange(call->second.begun, true), "a call is begun once");
    require(!alone || id > last_begun_, "one worker begins calls in their order");
    last_begun_ = id;
  }
  [[nodiscard]] bool has_begun(std::uint64_t id) const { return calls_.at(id).begun; }

  void job_started(std::uint64_t job_id, TimePoint /*started*/) override {
    require(!std::exchange(calls_.at(job_id).start_told, true), "a start is told once");
  }
  void job_given_back(std::uint64_t job_id) override {
    require(!calls_.at(job_id).begun, "a call that was begun is not given to another worker");
    calls_.at(job_id).start_told = false;
  }
  void job_ended(std::unique_ptr<detail::Job> job) override {
    const auto self = std::move(job->state.lease);
    const auto call = calls_.find(job->state.id);
    if (over) return void(calls_.erase(job->state.id));
    require(call != calls_.end(), "a call ends once");
    const Error* const error = job->error();
    require(error != nullptr || call->second.begun, "a call that ends well has run");
    require(error != nullptr || call->second.start_told, "the start of a call is told before its end");
    require(error == nullptr || !call->second.begun || error->code() == Errc::worker_crashed ||
                error->code() == Errc::timed_out,
            "a call that was begun is not said to be withdrawn");
    calls_.erase(call);
  }

  // Whenever nothing is left to be done now: no call waits long while a worker has nothing to do.
  void check_waits(TimePoint now, bool has_idle_worker, Duration most) {
    for (auto& [id, call] : calls_) {
      if (!has_idle_worker || call.begun) {
        call.passed_over_since.reset();
      } else if (!call.passed_over_since) {
        call.passed_over_since = now;
      }
      if (call.passed_over_since && now - *call.passed_over_since > most) {
        require(false, "call " + std::to_string(id) + " does not wait long while a worker has nothing to do");
      }
    }
  }

  [[nodiscard]] const std::map<std::uint64_t, Call>& calls() const noexcept { return calls_; }

  // Nothing is held against it any more.
  bool over = false;

 private:
  std::map<std::uint64_t, Call> calls_;
  std::uint64_t last_begun_ = 0;
};

}  // namespace leasepool::test
