// The heap behind TimerQueue.
#include "loop/timer_queue.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

namespace {

constexpr std::size_t kChildren = 4;

}  // namespace

TimerId TimerQueue::add(TimePoint deadline, Handler handler) {
  check(handler != nullptr, "a timer has something to do when it comes");
  if (heap_.size() == heap_.capacity()) heap_.reserve(2 * heap_.size() + 16);
  const std::uint32_t index = slots_.take();
  slots_[index].handler = std::move(handler);
  heap_.emplace_back();
  sift_up(heap_.size() - 1, {.deadline = deadline, .sequence = next_sequence_++, .slot = index});
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
  const Pending& first = heap_.front();
  // One that was added after the mark waits for the next round if its time is just up. If it is overdue, its place is
  // before what came due after it: the next deadline of a chain, after the program was stopped. Delays count from a
  // clock reading that is no earlier than `now`, so what starts itself again is never overdue. At one deadline those
  // added before the mark come first, so none of them is hidden here.
  if (first.deadline > now || (first.deadline == now && first.sequence >= added_before)) return {};
  return remove(first.slot);
}

TimePoint TimerQueue::earliest() const noexcept { return heap_.empty() ? TimePoint::max() : heap_.front().deadline; }

void TimerQueue::put(std::size_t place, const Pending& timer) noexcept {
  heap_[place] = timer;
  slots_[timer.slot].place = static_cast<std::uint32_t>(place);
}

void TimerQueue::sift_up(std::size_t place, Pending moving) noexcept {
  while (place > 0) {
    const std::size_t parent = (place - 1) / kChildren;
    if (!(moving < heap_[parent])) break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, moving);
}

void TimerQueue::sift_down(std::size_t place, Pending moving) noexcept {
  for (;;) {
    const std::size_t first = kChildren * place + 1;
    if (first >= heap_.size()) break;
    std::size_t least = first;
    for (std::size_t child = first + 1; child < std::min(first + kChildren, heap_.size()); ++child) {
      if (heap_[child] < heap_[least]) least = child;
    }
    if (!(heap_[least] < moving)) break;
    put(place, heap_[least]);
    place = least;
  }
  put(place, moving);
}

TimerQueue::Handler TimerQueue::remove(std::uint32_t index) noexcept {
  Slot& slot = slots_[index];
  const std::size_t hole = slot.place;
  check(hole < heap_.size(), "a timer that is pending has a place in the heap");
  check(heap_[hole].slot == index, "a timer's place in the heap is its own");
  const Pending last = heap_.back();
  heap_.pop_back();
  if (hole < heap_.size()) {
    const bool rises = hole > 0 && last < heap_[(hole - 1) / kChildren];
    rises ? sift_up(hole, last) : sift_down(hole, last);
  }
  slots_.give_back(index);
  return std::exchange(slot.handler, {});
}

void TimerQueue::check_order() const noexcept {
  check(slots_.taken() == heap_.size(), "each timer is pending, and once");
  for (std::size_t place = 0; place < heap_.size(); ++place) {
    check(slots_[heap_[place].slot].place == place, "each timer knows its place");
    check(place == 0 || heap_[(place - 1) / kChildren] < heap_[place], "no timer comes before the one above it");
  }
}

}  // namespace leasepool::detail
