// The two alarms of scenario.hpp, for peers whose own loop has no timer: it waits until next() at most and then lets
// ring_those_due() ring.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>

#include "scenario.hpp"

namespace peers {

class Alarms {
 public:
  void set(Alarm alarm, std::chrono::milliseconds delay) {
    alarms_[static_cast<std::size_t>(alarm)] = Clock::now() + delay;
  }

  // How long to wait for one: not negative, and a second at most where none is set.
  [[nodiscard]] std::chrono::nanoseconds next() const {
    return std::clamp<std::chrono::nanoseconds>(*std::ranges::min_element(alarms_) - Clock::now(),
                                                std::chrono::nanoseconds(0), std::chrono::seconds(1));
  }

  // For waits that count in whole milliseconds: rounded up, as they would spin for the last one otherwise.
  [[nodiscard]] int next_milliseconds() const {
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(next()).count());
  }

  void ring_those_due(Caller& caller) {
    const Clock::time_point now = Clock::now();
    for (std::size_t alarm = 0; alarm < alarms_.size(); ++alarm) {
      if (alarms_[alarm] > now) continue;
      alarms_[alarm] = kNever;
      caller.rang(static_cast<Alarm>(alarm));
    }
  }

 private:
  static constexpr Clock::time_point kNever = Clock::time_point::max();

  std::array<Clock::time_point, kAlarms> alarms_ = {kNever, kNever};
};

}  // namespace peers
