// oneTBB: a task_arena of two workers. It has no loop of its own; an application that has one waits for descriptors, as
// the loops of the other peers do, so here results go through a list and an eventfd that is written when the list was
// empty. (A condition variable would save the two system calls, but then the loop could wait for nothing else.)
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/version.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "scenario.hpp"

namespace {

using peers::Alarm;
using peers::Clock;

class OneTbb {
 public:
  static constexpr const char* kName = "onetbb";
  static std::string version() { return TBB_runtime_version(); }

  OneTbb(peers::Caller& caller, const peers::Scenario& scenario) : caller_(caller) {
    ended_.reserve(scenario.most_in_flight);
    taken_.reserve(scenario.most_in_flight);
    arena_.initialize();
  }
  OneTbb(const OneTbb&) = delete;
  OneTbb& operator=(const OneTbb&) = delete;
  ~OneTbb() {
    arena_.terminate();
    close(doorbell_);
  }

  void call(std::size_t slot, std::uint64_t argument) {
    arena_.enqueue([this, slot, argument] {
      const std::uint64_t result = peers::nothing(argument);
      const std::lock_guard lock(mutex_);
      ended_.push_back({slot, result});
      // Under the lock, so that a call that ends last touches nothing of this object after the loop has seen its end.
      if (ended_.size() == 1) eventfd_write(doorbell_, 1);
    });
  }

  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) {
    alarms_[static_cast<std::size_t>(alarm)] = Clock::now() + delay;
  }

  void run() {
    while (!stopped_) {
      pollfd descriptor = {.fd = doorbell_, .events = POLLIN, .revents = 0};
      const auto wait = std::max(*std::ranges::min_element(alarms_) - Clock::now(), Clock::duration::zero());
      const timespec timeout = {.tv_sec = wait / std::chrono::seconds(1),
                                .tv_nsec = (wait % std::chrono::seconds(1)).count()};
      if (ppoll(&descriptor, 1, &timeout, nullptr) > 0) take_those_ended();
      ring_those_due();
    }
  }
  void stop() { stopped_ = true; }

 private:
  struct Ended {
    std::size_t slot;
    std::uint64_t result;
  };

  void take_those_ended() {
    eventfd_t ignored = 0;
    eventfd_read(doorbell_, &ignored);
    {
      const std::lock_guard lock(mutex_);
      ended_.swap(taken_);
    }
    for (const Ended& ended : taken_) caller_.ended(ended.slot, ended.result);
    taken_.clear();
  }

  void ring_those_due() {
    const Clock::time_point now = Clock::now();
    for (std::size_t alarm = 0; alarm < alarms_.size(); ++alarm) {
      if (alarms_[alarm] > now) continue;
      alarms_[alarm] = kNever;
      caller_.rang(static_cast<Alarm>(alarm));
    }
  }

  static constexpr Clock::time_point kNever = Clock::time_point::max();

  peers::Caller& caller_;
  // oneTBB counts the thread that calls it, which here only enqueues, and starts as many workers as cores less one.
  oneapi::tbb::global_control workers_{oneapi::tbb::global_control::max_allowed_parallelism, peers::kWorkers + 1};
  oneapi::tbb::task_arena arena_{peers::kWorkers, 0};
  int doorbell_ = eventfd(0, EFD_CLOEXEC);
  std::mutex mutex_;
  std::vector<Ended> ended_;
  std::vector<Ended> taken_;
  std::array<Clock::time_point, peers::kAlarms> alarms_ = {kNever, kNever};
  bool stopped_ = false;
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<OneTbb>(count, arguments); }
