// EpollEngine: the engine for where io_uring is refused, on epoll, eventfd and timerfd. It tries an operation when it
// is submitted, waits for its descriptor where that would block, and tries again. What epoll cannot watch, as files,
// and open and sync run on threads. Handlers run as they do on a ring: from run_handlers() alone.
//
//   an operation is  until                                      and then
//   queued           the next entry tries it                    waiting, retrying, on_thread or ended
//   waiting          its descriptor is ready and a try does it  ended, or paused
//   retrying         a few milliseconds have passed             queued
//   paused           its handler has had one of many            queued
//   on_thread        the thread has done it                     ended
//   ended            its handler has its last completion        its place is free
//
// Its deadline and its cancellation end it at once, but on a thread that has begun it.
//
// Memory is taken for an operation more than there ever were at once and for a descriptor of a greater number than
// before, and for nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"
#include "loop/blocking_threads.hpp"
#include "loop/engine.hpp"
#include "loop/epoll_set.hpp"
#include "loop/slots.hpp"
#include "loop/timer_queue.hpp"

namespace leasepool::detail {

struct Attempt;

// One thread: the one that constructs it.
class EpollEngine final : public Engine {
 public:
  // Throws std::system_error when the system refuses what it needs, and std::bad_alloc.
  EpollEngine();
  EpollEngine(const EpollEngine&) = delete;
  EpollEngine& operator=(const EpollEngine&) = delete;
  ~EpollEngine() override;

  OperationId start(const Operation& operation, CompletionHandler handler, TimePoint deadline) override;
  void set_deadline(OperationId id, TimePoint deadline) noexcept override;
  void cancel(OperationId id) noexcept override;
  int cancel_and_reap(OperationId id) noexcept override;
  void set_wakeup(TimePoint deadline) noexcept override { wakeup_ = deadline; }
  int submit_and_reap() noexcept override { return enter(false); }
  int submit_and_wait() noexcept override { return enter(true); }

  // Handlers are destroyed, but where a thread is still at work for one a second later: then they are leaked.
  void give_up() noexcept override;

  int notify(int event_fd) override;
  void run_handlers() override;

  [[nodiscard]] bool has_reaped() const noexcept override { return first_reaped_ != kNone || wakeup_came_; }
  [[nodiscard]] bool has_unsubmitted() const noexcept override { return queued_.first != kNone; }
  [[nodiscard]] bool has_unreaped() const noexcept override;
  [[nodiscard]] std::size_t in_flight() const noexcept override { return slots_ ? slots_->taken() : 0; }
  [[nodiscard]] bool lost_completions() const noexcept override { return false; }
  [[nodiscard]] std::uint64_t operations() const noexcept override { return operations_; }
  [[nodiscard]] LoopEngine kind() const noexcept override { return LoopEngine::epoll; }
  [[nodiscard]] const char* entry() const noexcept override { return "epoll_wait"; }

 private:
  enum class State : std::uint8_t { queued, waiting, retrying, paused, on_thread, ended };
  struct Slot {
    BlockingThreads::Job job;  // with the operation
    CompletionHandler handler;
    State state = State::queued;
    std::optional<int> one_of_many;  // to be handed over, and it goes on
    int result = 0;                  // of what has ended
    bool timed_out = false;
    TimerId timer = 0;  // its deadline, if it has one and that has not come
    bool reaped = false;
    std::uint32_t next = UINT32_MAX;  // in the list that its state has it in
    std::uint32_t previous = UINT32_MAX;
    std::uint32_t next_reaped = UINT32_MAX;
  };
  using OperationSlots = Slots<Slot, std::deque>;  // stable addresses: threads and handlers use them
  static constexpr std::uint32_t kNone = OperationSlots::kNone;

  struct List {
    std::uint32_t first = kNone;
    std::uint32_t last = kNone;
  };

  [[nodiscard]] Slot& at(std::uint32_t index) noexcept { return (*slots_)[index]; }
  [[nodiscard]] Operation& operation_at(std::uint32_t index) noexcept { return at(index).job.operation; }
  void append(List& list, std::uint32_t index) noexcept;
  void remove(List& list, std::uint32_t index) noexcept;
  [[nodiscard]] List& waiting_for(int fd) noexcept { return waiting_[static_cast<std::size_t>(fd)]; }
  [[nodiscard]] bool has_room_for(int fd) const noexcept {
    return fd >= 0 && static_cast<std::size_t>(fd) < waiting_.size();
  }
  void make_room_for(int fd);
  TimerId add_timer(std::uint32_t index, TimePoint deadline);

  int enter(bool wait) noexcept;
  void try_queued() noexcept;
  void try_new(std::uint32_t index) noexcept;
  [[nodiscard]] bool is_behind_others(std::uint32_t index) noexcept;
  void take(std::uint32_t index, const Attempt& attempt) noexcept;
  void wait_for_readiness(std::uint32_t index) noexcept;
  void cannot_be_watched(std::uint32_t index) noexcept;
  int watch_for_all(int fd, bool anew) noexcept;
  void came(int fd, std::uint32_t events) noexcept;
  bool try_ready(std::uint32_t index, std::uint32_t events) noexcept;
  void stop_waiting(std::uint32_t index) noexcept;
  void run_on_thread(std::uint32_t index) noexcept;
  void take_from_threads() noexcept;
  void retry_due() noexcept;

  [[nodiscard]] TimePoint due() const noexcept;
  int set_timer(TimePoint when) noexcept;
  void expire() noexcept;
  void withdraw(std::uint32_t index) noexcept;

  void report(std::uint32_t index, int result) noexcept;
  void end(std::uint32_t index, int result) noexcept;
  void add_reaped(std::uint32_t index) noexcept;
  void hand_over(std::uint32_t index);

  EpollSet set_;
  BlockingThreads threads_;
  const UniqueFd timer_fd_;
  std::unique_ptr<OperationSlots> slots_ = std::make_unique<OperationSlots>();  // null once it was given up
  List queued_;
  List retrying_;
  TimePoint retry_at_ = kNever;
  std::vector<List> waiting_;  // by descriptor, in the order in which they were started
  std::uint32_t first_reaped_ = kNone;
  std::uint32_t last_reaped_ = kNone;
  std::size_t reaped_count_ = 0;
  TimerQueue deadlines_;
  TimePoint wakeup_ = kNever;
  bool wakeup_came_ = false;  // and nobody was told
  TimePoint timer_set_to_ = kNever;
  bool watched_from_outside_ = false;
  std::uint64_t operations_ = 0;
};

}  // namespace leasepool::detail
