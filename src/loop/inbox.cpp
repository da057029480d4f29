// The doorbell's protocol, and what happens to posts on either side of close().
#include "loop/inbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

Inbox::Inbox() : doorbell_(try_above_standard_streams(UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)))) {
  if (!doorbell_) throw std::system_error(errno, std::generic_category(), "leasepool: eventfd for a loop");
}

void Inbox::post(std::unique_ptr<Deferred> posted) noexcept {
  if (posted_.push(std::move(posted)) == nullptr) ring_doorbell();
}

void Inbox::request_stop() noexcept {
  stop_requested_.store(true);
  ring_doorbell();
}

void Inbox::hand_back(const std::shared_ptr<HandedBack>& of_thread, std::unique_ptr<Deliverable> ended) noexcept {
  if (!of_thread->ring.push(std::move(ended))) return;
  check(of_thread->self == nullptr, "a thread calls the loop once until that has come");
  of_thread->self = of_thread;
  HandedBack* first = finished_.load();
  do {
    if (first == closed_) {
      of_thread->self.reset();
      return of_thread->ring.clear();
    }
    of_thread->next = first;
  } while (!finished_.compare_exchange_weak(first, of_thread.get()));
  ring_doorbell();
}

// Takes the first of a list of callers out, which may be its last owner.
std::shared_ptr<HandedBack> Inbox::next_of(HandedBack*& first) noexcept {
  auto taken = std::move(first->self);
  check(taken.get() == first, "what a thread has handed back is kept until the loop comes");
  first = first->next;
  return taken;
}

void Inbox::take_handed_back(IntrusiveQueue<Deliverable>& into) noexcept {
  if (!has_handed_back()) return;
  for (HandedBack* first = finished_.exchange(nullptr); first != nullptr;) {
    const auto of_thread = next_of(first);
    of_thread->ring.acknowledge();
    while (auto ended = of_thread->ring.pop()) into.push_back(std::move(ended));
  }
}

void Inbox::ring_doorbell() noexcept {
  if (!sleeping_.load() || !sleeping_.exchange(false)) return;
  const std::uint64_t one = 1;
  while (::write(doorbell_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

bool Inbox::try_enter_interrupt_mode() noexcept {
  asleep();
  if (empty()) return true;
  exit_interrupt_mode();
  return false;
}

void Inbox::close() noexcept {
  posted_.close().clear();
  for (HandedBack* first = finished_.exchange(closed_); first != nullptr && first != closed_;) {
    next_of(first)->ring.clear();
  }
}

}  // namespace leasepool::detail
