// What the floors of a call share: a call, what is kept of it as long as it is under way and afterwards, and how who
// has found nothing for long is woken. No line of the library's: the floors say what the same protocol costs by itself.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "bell.hpp"
#include "latencies.hpp"
#include "report.hpp"
#include "scenario.hpp"

namespace peers {

// They have no timer that could wake their loop: some call is always under way.
inline void refuse_pauses(const Scenario& scenario) {
  if (scenario.pace != Pace::back_to_back) fail("a floor has calls back to back: one, flight64, flight1024");
}

// One call of nothing(). Whoever runs it works in the first line alone, and the loop alone in the others. Whoever
// carries it knows neither the function nor who is to hear.
class alignas(kLine) Call {
 public:
  Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  virtual ~Call() = default;
  virtual void run() noexcept = 0;
  virtual void deliver() = 0;

  Clock::time_point ended{};
  std::uint64_t (*function)(std::uint64_t) = nullptr;
  std::uint64_t argument = 0;
  std::uint64_t result = 0;

  alignas(kLine) Clock::time_point submitted{};
  Clock::time_point started{};
  std::uint64_t id = 0;
  Call* next = nullptr;  // of the calls under way, or of those that are free
  Call* previous = nullptr;
  Call* next_waiting = nullptr;  // until there is room to send it
  std::size_t slot = 0;
  Caller* caller = nullptr;
};

class CallOfNothing final : public Call {
 public:
  void run() noexcept override { result = function(argument); }
  void deliver() override { caller->ended(slot, result); }
};

// How long something took: each value in a histogram, and the figures that are exact.
class Durations {
 public:
  void record(std::chrono::nanoseconds duration) {
    all_.record(duration);
    sum_ += static_cast<double>(duration.count());
    least_ = std::min(least_, duration);
    most_ = std::max(most_, duration);
  }

 private:
  Latencies all_;
  double sum_ = 0;
  std::chrono::nanoseconds least_ = std::chrono::nanoseconds::max();
  std::chrono::nanoseconds most_{};
};

// The loop's: memory for calls, those under way in their order, and what is counted.
class Books {
 public:
  // The caller fills in what whoever runs it needs, and hands it over.
  Call& begin(Caller& caller, std::size_t slot, std::uint64_t argument) {
    Call& call = take();
    call.function = nothing;
    call.argument = argument;
    call.caller = &caller;
    call.slot = slot;
    call.ended = {};
    call.submitted = Clock::now();
    call.id = ++last_id_;
    call.next = nullptr;
    call.previous = last_;
    (last_ == nullptr ? first_ : last_->next) = &call;
    last_ = &call;
    return call;
  }

  // The call has ended; its caller hears of it, and may begin another.
  void end(Call& call) {
    (call.previous == nullptr ? first_ : call.previous->next) = call.next;
    (call.next == nullptr ? last_ : call.next->previous) = call.previous;
    ++completed_;
    wait_.record(call.started - call.submitted);
    run_.record(call.ended - call.started);
    call.deliver();
    call.next = free_;
    free_ = &call;
  }

 private:
  Call& take() {
    if (free_ == nullptr) return *all_.emplace_back(std::make_unique<CallOfNothing>());
    Call& call = *free_;
    free_ = call.next;
    return call;
  }

  std::vector<std::unique_ptr<Call>> all_;
  Call* free_ = nullptr;
  Call* first_ = nullptr;
  Call* last_ = nullptr;
  std::uint64_t last_id_ = 0;
  std::uint64_t completed_ = 0;
  Durations wait_;
  Durations run_;
};

}  // namespace peers
