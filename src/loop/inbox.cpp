// The doorbell's protocol, and what happens to posts on either side of close().
#include "loop/inbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

namespace leasepool::detail {

Inbox::Inbox() : doorbell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!doorbell_) throw std::system_error(errno, std::generic_category(), "leasepool: eventfd for a loop");
}

void Inbox::post(std::move_only_function<void()> function) {
  auto posted = std::make_unique<PostedFunction>(std::move(function));
  if (functions_.push(std::move(posted)) == nullptr) ring_doorbell();
}

void Inbox::job_done(const std::shared_ptr<FinishedJobs>& of_thread, std::unique_ptr<Job> job) {
  if (!of_thread->ring.push(std::move(job))) return;
  of_thread->self = of_thread;
  FinishedJobs* first = finished_.load();
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
std::shared_ptr<FinishedJobs> Inbox::next_of(FinishedJobs*& first) noexcept {
  auto taken = std::move(first->self);
  first = first->next;
  return taken;
}

void Inbox::take_jobs(IntrusiveQueue<Job>& into) noexcept {
  if (!has_jobs()) return;
  for (FinishedJobs* first = finished_.exchange(nullptr); first != nullptr;) {
    const auto of_thread = next_of(first);
    of_thread->ring.answer_call();
    while (auto job = of_thread->ring.pop()) into.push_back(std::move(job));
  }
}

void Inbox::ring_doorbell() noexcept {
  if (!sleeping_.load() || !sleeping_.exchange(false)) return;
  const std::uint64_t one = 1;
  while (::write(doorbell_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

bool Inbox::prepare_sleep() noexcept {
  asleep();
  if (empty()) return true;
  awake();
  return false;
}

void Inbox::close() noexcept {
  functions_.close().clear();
  for (FinishedJobs* first = finished_.exchange(closed_); first != nullptr && first != closed_;) {
    next_of(first)->ring.clear();
  }
}

}  // namespace leasepool::detail
