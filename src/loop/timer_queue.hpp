// TimerQueue: deadlines in order. Pure: it makes no system call and is told the time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "leasepool/duration.hpp"
#include "loop/slots.hpp"

namespace leasepool::detail {

// Names a pending timer; 0 names none. Never reused for another timer within 2^32 reuses of its slot.
using TimerId = std::uint64_t;

// A heap with four children each, ordered by deadline and, among equals, by the order of add(). Adding and cancelling
// cost O(log n). What is compared is in the heap itself, where four siblings are side by side: of many timers few are
// in any cache. Only a timer more than there ever were at once takes memory. One thread.
class TimerQueue {
 public:
  using Handler = std::move_only_function<void()>;

  // Throws std::bad_alloc, and then nothing has changed.
  TimerId add(TimePoint deadline, Handler handler);

  // False when the timer has been taken or cancelled already.
  bool cancel(TimerId id) noexcept;

  // The handler of the earliest timer whose deadline is not after `now`, unless it is `now` and the timer was not added
  // before the mark; empty when there is none.
  Handler take_due(TimePoint now, std::uint64_t added_before) noexcept;

  // Timers added from now on have not been "added before" this mark: a zero delay cannot keep a turn from ending. One
  // that is overdue when it is added is taken in its place all the same.
  [[nodiscard]] std::uint64_t mark() const noexcept { return next_sequence_; }

  // TimePoint::max() when there is none.
  [[nodiscard]] TimePoint earliest() const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return heap_.size(); }
  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }

  // For tests: looks through all of it.
  void check_order() const noexcept;

 private:
  struct Slot {
    Handler handler;
    std::uint32_t place = 0;  // in the heap
  };
  struct Pending {
    TimePoint deadline{};
    std::uint64_t sequence = 0;
    std::uint32_t slot = 0;
    [[nodiscard]] bool operator<(const Pending& other) const noexcept {
      return deadline != other.deadline ? deadline < other.deadline : sequence < other.sequence;
    }
  };

  void put(std::size_t place, const Pending& timer) noexcept;
  void sift_up(std::size_t place, Pending moving) noexcept;
  void sift_down(std::size_t place, Pending moving) noexcept;
  Handler remove(std::uint32_t index) noexcept;

  Slots<Slot> slots_;  // one for each timer that is pending
  std::vector<Pending> heap_;
  std::uint64_t next_sequence_ = 0;
};

}  // namespace leasepool::detail
