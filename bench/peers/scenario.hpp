// The loop of calls that measures a peer, the same for all: so many workers, an 8-byte argument and result, a function
// that does nothing.
//
// A peer is a class with
//   kName, version()                    for the report
//   Peer(Caller&, const Scenario&)      with kWorkers workers that are ready
//   call(slot, argument)                starts nothing(argument) on a worker; then, on the loop's thread and never
//                                       from within call(), Caller::ended(slot, result)
//   set_alarm(alarm, delay)             then Caller::rang(alarm) on the loop's thread
//   run(), stop()                       the loop; stop() is called from a callback, with no call in flight
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "report.hpp"

namespace peers {

// The work.
[[gnu::noinline]] inline std::uint64_t nothing(std::uint64_t argument) { return argument; }

enum class Alarm : std::uint8_t { phase, pace };
inline constexpr std::size_t kAlarms = 2;

// What a peer's loop calls.
class Caller {
 public:
  Caller() = default;
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  virtual void ended(std::size_t slot, std::uint64_t result) = 0;
  virtual void rang(Alarm alarm) = 0;

 protected:
  ~Caller() = default;
};

template <class Peer>
class Measurement final : public Caller {
 public:
  explicit Measurement(const Arguments& arguments)
      : arguments_(arguments), slots_(arguments.scenario.most_in_flight), peer_(*this, arguments.scenario) {}

  Report run() {
    for (std::size_t slot = slots_.size(); slot-- > 0;) free_.push_back(slot);
    peer_.set_alarm(Alarm::phase, std::max(arguments_.duration / 5, std::chrono::milliseconds(10)));
    first_ = Clock::now();
    if (arguments_.scenario.pace == Pace::back_to_back) {
      while (!free_.empty()) start(first_);
    } else {
      rang(Alarm::pace);
    }
    peer_.run();
    return report_;
  }

  void ended(std::size_t slot, std::uint64_t result) override {
    if (result != slots_[slot].argument) fail("a call returned another's result");
    free_.push_back(slot);
    if (phase_ == Phase::ending) {
      if (free_.size() == slots_.size()) peer_.stop();
      return;
    }
    ++report_.calls;
    // One reading of the clock ends a call and begins the next.
    const Clock::time_point now = timed() ? Clock::now() : Clock::time_point();
    if (timed()) report_.latencies.record(now - slots_[slot].begun);
    if (arguments_.scenario.pace == Pace::back_to_back) {
      start(now);
    } else if (arguments_.scenario.pace == Pace::after_idleness) {
      peer_.set_alarm(Alarm::pace, std::chrono::milliseconds(10));
    }
  }

  void rang(Alarm alarm) override {
    if (alarm == Alarm::phase) {
      next_phase();
    } else if (phase_ != Phase::ending && arguments_.scenario.pace == Pace::after_idleness) {
      start(Clock::now());
    } else if (phase_ != Phase::ending) {
      start_those_due();
    }
  }

 private:
  enum class Phase : std::uint8_t { warming_up, measuring, ending };
  struct Slot {
    std::uint64_t argument = 0;
    Clock::time_point begun;
  };

  // With many in flight only the rate is asked for.
  [[nodiscard]] bool timed() const { return slots_.size() == 1 || arguments_.scenario.pace == Pace::by_schedule; }

  void start(Clock::time_point now) {
    const std::size_t slot = free_.back();
    free_.pop_back();
    slots_[slot] = {.argument = ++started_, .begun = now};
    peer_.call(slot, started_);
  }

  // Each millisecond, or later, as many as the time that has passed asks for: a late timer changes no rate.
  void start_those_due() {
    peer_.set_alarm(Alarm::pace, std::chrono::milliseconds(1));
    const Clock::time_point now = Clock::now();
    const auto interval = std::chrono::nanoseconds(std::chrono::seconds(1)) / arguments_.scenario.calls_per_s;
    const auto due = static_cast<std::uint64_t>((now - first_) / interval);
    ++report_.ticks;
    while (started_ < due && !free_.empty()) start(now);
  }

  void next_phase() {
    if (phase_ == Phase::warming_up) {
      phase_ = Phase::measuring;
      peer_.set_alarm(Alarm::phase, arguments_.duration);
      report_ = {};
      cpu_before_ = cpu_time_.read();
      begun_ = Clock::now();
      return;
    }
    if (report_.calls == 0) return peer_.set_alarm(Alarm::phase, arguments_.duration);  // on a busy machine
    phase_ = Phase::ending;
    report_.elapsed = Clock::now() - begun_;
    report_.cpu = cpu_time_.read() - cpu_before_;
    if (free_.size() == slots_.size()) peer_.stop();
  }

  Arguments arguments_;
  std::vector<Slot> slots_;
  std::vector<std::size_t> free_;
  Report report_;
  Phase phase_ = Phase::warming_up;
  std::uint64_t started_ = 0;
  Clock::time_point first_;
  Clock::time_point begun_;
  std::chrono::nanoseconds cpu_before_{};
  Peer peer_;
  TreeCpuTime cpu_time_;  // behind the peer, whose workers it looks for
};

template <class Peer>
int run_peer(int count, char** arguments) {
  const Arguments parsed = parse_arguments(count, arguments);
  if constexpr (!requires { Peer::kHasGrinder; }) {
    if (parsed.scenario.name == "grinder") fail("this peer has no grinder");
  }
  Measurement<Peer> measurement(parsed);
  measurement.run().print(Peer::kName, Peer::version(), parsed.scenario);
  return 0;
}

}  // namespace peers
