// A loop for pools of threads that have none. An application that has one waits for descriptors, as the loops of the
// other peers do, so results come through a list and an eventfd that is written when the list was empty. (A condition
// variable would save the two system calls, but then the loop could wait for nothing else.)
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "alarms.hpp"
#include "scenario.hpp"

namespace peers {

class ResultLoop {
 public:
  ResultLoop(Caller& caller, const Scenario& scenario) : caller_(caller) {
    ended_.reserve(scenario.most_in_flight);
    taken_.reserve(scenario.most_in_flight);
    epoll_event event = {.events = EPOLLIN, .data = {}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, doorbell_, &event) != 0) fail("no epoll or no eventfd");
  }
  ResultLoop(const ResultLoop&) = delete;
  ResultLoop& operator=(const ResultLoop&) = delete;
  ~ResultLoop() {
    close(epoll_);
    close(doorbell_);
  }

  // From any thread.
  void post(std::size_t slot, std::uint64_t result) {
    const std::lock_guard lock(mutex_);
    ended_.push_back({slot, result});
    // Under the lock, so that a call that ends last touches nothing of this object after the loop has seen its end.
    if (ended_.size() == 1) eventfd_write(doorbell_, 1);
  }

  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) { alarms_.set(alarm, delay); }

  void run() {
    while (!stopped_) {
      const std::chrono::nanoseconds wait = alarms_.next();
      const timespec timeout = {.tv_sec = wait / std::chrono::seconds(1),
                                .tv_nsec = (wait % std::chrono::seconds(1)).count()};
      epoll_event event;
      if (epoll_pwait2(epoll_, &event, 1, &timeout, nullptr) > 0) take_those_ended();
      alarms_.ring_those_due(caller_);
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

  Caller& caller_;
  int doorbell_ = eventfd(0, EFD_CLOEXEC);
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::mutex mutex_;
  std::vector<Ended> ended_;
  std::vector<Ended> taken_;
  Alarms alarms_;
  bool stopped_ = false;
};

}  // namespace peers
