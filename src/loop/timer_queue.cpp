// The heap behind TimerQueue.
#include "loop/timer_queue.hpp"

#include <utility>

namespace leasepool::detail {

namespace {
constexpr TimerId timer_id(std::uint32_t slot, std::uint32_t generation) noexcept {
  return (TimerId{generation} << 32) | slot;
}
constexpr std::uint32_t slot_of(TimerId id) noexcept { return static_cast<std::uint32_t>(id); }
constexpr std::uint32_t generation_of(TimerId id) noexcept { return static_cast<std::uint32_t>(id >> 32); }
}  // namespace

void TimerQueue::add_slot() {
  slots_.emplace_back();
  try {
    free_.reserve(slots_.capacity());
    heap_.reserve(slots_.capacity());
  } catch (...) {
    slots_.pop_back();
    throw;
  }
  free_.push_back(static_cast<std::uint32_t>(slots_.size() - 1));
}

TimerId TimerQueue::add(TimePoint deadline, Handler handler) {
  if (free_.empty()) add_slot();
  const std::uint32_t index = free_.back();
  free_.pop_back();
  heap_.push_back(index);
  Slot& slot = slots_[index];
  slot.deadline = deadline;
  slot.sequence = next_sequence_++;
  slot.pending = true;
  slot.handler = std::move(handler);
  slot.heap_index = heap_.size() - 1;
  sift_up(slot.heap_index);
  return timer_id(index, slot.generation);
}

bool TimerQueue::cancel(TimerId id) noexcept {
  const std::uint32_t index = slot_of(id);
  if (index >= slots_.size() || !slots_[index].pending || slots_[index].generation != generation_of(id)) return false;
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
  const std::uint32_t last = heap_.back();
  heap_.pop_back();
  if (hole < heap_.size()) {
    place(hole, last);
    sift_up(hole);
    sift_down(slots_[last].heap_index);
  }
  slot.pending = false;
  if (++slot.generation == 0) slot.generation = 1;  // 0 would make an id of 0, which names none
  free_.push_back(index);
  return std::exchange(slot.handler, {});
}

}  // namespace leasepool::detail
