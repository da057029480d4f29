// Poller: something whose completions come through memory instead of through the ring. The loop looks at it in every
// turn, and tells it when to wake the loop instead.
#pragma once

#include "base/check.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail {

// Loop thread only. Must not go while it is watched. It carries the links of the loop's list, so that to be watched
// takes no memory.
class Poller {
 public:
  Poller() = default;
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Whether there is something to collect.
  [[nodiscard]] virtual bool pure_poll() const noexcept = 0;

  // When that came by the loop's clock, if whoever brought it noted that.
  [[nodiscard]] virtual TimePoint came_at() const noexcept { return TimePoint{}; }

  // Notes what has come by now; and hands that over, after what the ring had completed by then.
  virtual void snapshot() noexcept = 0;
  virtual void poll() = 0;

  // From now on it wakes the loop when something comes. False if something is there already.
  [[nodiscard]] virtual bool try_enter_interrupt_mode() noexcept = 0;
  virtual void exit_interrupt_mode() noexcept = 0;

  Poller* next = nullptr;  // of the loop's list
  Poller* previous = nullptr;

 protected:
  ~Poller() = default;
};

// Those that a loop watches. Loop thread only.
class PollerList {
 public:
  PollerList() = default;
  PollerList(const PollerList&) = delete;
  PollerList& operator=(const PollerList&) = delete;
  ~PollerList() {
    check(cursors_ == nullptr, "a list of pollers is not destroyed in a round");
    check(empty(), "nothing is watched by a loop that is destroyed");
  }

  void add(Poller& poller) noexcept {
    check(poller.next == nullptr && poller.previous == nullptr && first_ != &poller, "a poller is watched once");
    poller.previous = last_;
    poller.next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = &poller;
    last_ = &poller;
  }
  void remove(Poller& poller) noexcept {
    for (Cursor* cursor = cursors_; cursor != nullptr; cursor = cursor->outer) {
      if (cursor->next == &poller) cursor->next = poller.next;
    }
    Poller*& from_before = poller.previous == nullptr ? first_ : poller.previous->next;
    Poller*& from_behind = poller.next == nullptr ? last_ : poller.next->previous;
    check(from_before == &poller, "a poller that is not watched any more was watched");
    check(from_behind == &poller, "pollers are linked both ways");
    from_before = poller.next;
    from_behind = poller.previous;
    poller.next = poller.previous = nullptr;
  }
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  // Whether `holds` of any; it may not change the list.
  template <class Predicate>
  [[nodiscard]] bool any(const Predicate& holds) const {
    for (Poller* poller = first_; poller != nullptr; poller = poller->next) {
      if (holds(*poller)) return true;
    }
    return false;
  }

  // When the first came of those of which that is known.
  [[nodiscard]] TimePoint came_at() const noexcept {
    for (Poller* poller = first_; poller != nullptr; poller = poller->next) {
      if (const TimePoint at = poller->came_at(); at != TimePoint{}) return at;
    }
    return TimePoint{};
  }

  // Does something with each; it may add and remove any, and begin another round.
  template <class Action>
  void each(const Action& action) {
    Cursor cursor{.next = first_, .outer = cursors_};
    cursors_ = &cursor;
    struct Pop {
      PollerList& list;
      ~Pop() { list.cursors_ = list.cursors_->outer; }
    } const pop{*this};
    while (cursor.next != nullptr) {
      Poller& poller = *cursor.next;
      cursor.next = poller.next;
      action(poller);
    }
  }

 private:
  struct Cursor {
    Poller* next;
    Cursor* outer;
  };

  Poller* first_ = nullptr;
  Poller* last_ = nullptr;
  Cursor* cursors_ = nullptr;  // of the rounds under way, the innermost first
};

}  // namespace leasepool::detail
