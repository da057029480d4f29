// Inbox: how other threads reach the loop. Posted functions go into a lock-free mailbox, what has ended into a ring of
// each thread that the inbox is told of; an eventfd wakes the loop, and only when it sleeps.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "base/intrusive_queue.hpp"
#include "base/spsc_ring.hpp"
#include "base/unique_fd.hpp"
#include "leasepool/detail/deliverable.hpp"
#include "loop/deferred.hpp"

namespace leasepool::detail {

// What one thread has handed back and the loop has not fetched. Whoever gave it the work may have the loop look there.
struct HandedBack {
  SpscRing<Deliverable, 512> ring;
  std::shared_ptr<HandedBack> self{};  // while the loop is called
  HandedBack* next = nullptr;
};

// Shared by the loop and by every thread that may outlive it.
class Inbox {
 public:
  Inbox();

  // Any thread. What arrives after close() is destroyed here.
  void post(std::unique_ptr<Deferred> posted) noexcept;
  // The same of a function; throws std::bad_alloc.
  void post(std::move_only_function<void()> function) { post(std::make_unique<DeferredFunction>(std::move(function))); }
  // With the ring of the thread that calls.
  void hand_back(const std::shared_ptr<HandedBack>& of_thread, std::unique_ptr<Deliverable> ended) noexcept;
  // Asks the loop to stop running: once, however often it is asked until take_stop().
  void request_stop() noexcept;

  // Any thread: wakes the loop if it sleeps.
  void ring_doorbell() noexcept;

  // The loop's thread, from here on.

  // Readable after a ring. Read only where its poll has ended: that reports each write, whatever the counter says.
  [[nodiscard]] int doorbell_fd() const noexcept { return doorbell_.get(); }

  // True when the loop may sleep: nothing is here, and what comes will ring. The order (flag, then look) meets the
  // producers' (push, then flag) in the single order of seq_cst operations, so that one of the two sees the other.
  [[nodiscard]] bool try_enter_interrupt_mode() noexcept;
  void asleep() noexcept { sleeping_.store(true); }
  void exit_interrupt_mode() noexcept { sleeping_.store(false); }

  [[nodiscard]] bool empty() const noexcept { return posted_.empty() && !has_handed_back() && !stop_requested_.load(); }
  [[nodiscard]] IntrusiveQueue<Deferred> take_posted() noexcept { return posted_.take_all(); }
  [[nodiscard]] bool take_stop() noexcept { return stop_requested_.load() && stop_requested_.exchange(false); }
  // Appends them, those of each thread in their order.
  void take_handed_back(IntrusiveQueue<Deliverable>& into) noexcept;

  // Refuses everything from now on and destroys what is left.
  void close() noexcept;

 private:
  [[nodiscard]] bool has_handed_back() const noexcept {
    const HandedBack* const first = finished_.load();
    return first != nullptr && first != closed_;
  }
  [[nodiscard]] static std::shared_ptr<HandedBack> next_of(HandedBack*& first) noexcept;

  IntrusiveMailbox<Deferred> posted_;
  HandedBack* const closed_ = reinterpret_cast<HandedBack*>(this);  // stands for callers once nobody is let in
  std::atomic<HandedBack*> finished_ = nullptr;                     // of threads that have called, the last one first
  std::atomic<bool> stop_requested_ = false;
  std::atomic<bool> sleeping_ = true;  // a loop that does not run yet sleeps: a ring makes its poll_fd() readable
  UniqueFd doorbell_;
};

}  // namespace leasepool::detail
