// The heap behind TimerQueue.
#include "loop/timer_queue.hpp"

#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

TimerId TimerQueue::add(TimePoint deadline, Handler handler) {
  check(handler != nullptr, "a timer has something to do when it comes");
  if (heap_.size() == heap_.capacity()) heap_.reserve(2 * heap_.size() + 16);
  const std::uint32_t index = slots_.take();
  heap_.push_back(index);
  Slot& slot = slots_[index];
  slot.deadline = deadline;
  slot.sequence = next_sequence_++;
  slot.handler = std::move(handler);
  slot.heap_index = heap_.size() - 1;
  sift_up(slot.heap_index);
  return slots_.id_of(index);
}

bool TimerQueue::cancel(TimerId id) noexcept {
  const std::uint32_t index = slots_.find(id);
  if (index == Slots<Slot>::kNone) return false;
  const Handler dropped = remove(index);  // destroyed last: its captures may cancel other timers
  return true;
}

TimerQueue::Handler TimerQueue::take_due(TimePoint now, std::uint64_t added_before) noexcept {
  if (heap_.empty()) return {};
  const Slot& slot = slots_[heap_.front()];
  // One that was added after the mark waits for the next round if its time is just up. If it is overdue, its place is
  // before what came due after it: the next deadline of a chain, after the program was stopped. Delays count from a
  // clock reading that is no earlier than `now`, so what starts itself again is never overdue. At one deadline those
  // added before the mark come first, so none of them is hidden here.
  if (slot.deadline > now || (slot.deadline == now && slot.sequence >= added_before)) return {};
  return remove(heap_.front());
}

TimePoint TimerQueue::earliest() const noexcept {
  return heap_.empty() ? TimePoint::max() : slots_[heap_.front()].deadline;
}

bool TimerQueue::before(std::uint32_t left, std::uint32_t right) const noexcept {
  const Slot& a = slots_[left];
  const Slot& b = slots_[right];
  return a.deadline != b.deadline ? a.deadline < b.deadline : a.sequence < b.sequence;
}

void TimerQueue::place(std::size_t index, std::uint32_t slot) noexcept {
  heap_[index] = slot;
  slots_[slot].heap_index = index;
}

void TimerQueue::sift_up(std::size_t index) noexcept {
  const std::uint32_t moving = heap_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (!before(moving, heap_[parent])) break;
    place(index, heap_[parent]);
    index = parent;
  }
  place(index, moving);
}

void TimerQueue::sift_down(std::size_t index) noexcept {
  const std::uint32_t moving = heap_[index];
  for (;;) {
    std::size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) ++child;
    if (!before(heap_[child], moving)) break;
    place(index, heap_[child]);
    index = child;
  }
  place(index, moving);
}

TimerQueue::Handler TimerQueue::remove(std::uint32_t index) noexcept {
  Slot& slot = slots_[index];
  const std::size_t hole = slot.heap_index;
  check(hole < heap_.size(), "a timer that is pending has a place in the heap");
  check(heap_[hole] == index, "a timer's place in the heap is its own");
  const std::uint32_t last = heap_.back();
  heap_.pop_back();
  if (hole < heap_.size()) {
    place(hole, last);
    sift_up(hole);
    sift_down(slots_[last].heap_index);
  }
  slots_.give_back(index);
  return std::exchange(slot.handler, {});
}

void TimerQueue::check_order() const noexcept {
  check(slots_.taken() == heap_.size(), "each timer is pending, and once");
  for (std::size_t index = 0; index < heap_.size(); ++index) {
    check(slots_[heap_[index]].heap_index == index, "each timer knows its place");
    check(index == 0 || before(heap_[(index - 1) / 2], heap_[index]), "no timer comes before the one above it");
  }
}

}  // namespace leasepool::detail
