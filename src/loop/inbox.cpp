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

void Inbox::job_done(std::unique_ptr<Job> job) {
  if (jobs_.push(std::move(job)) == nullptr) ring_doorbell();
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
  jobs_.close().clear();
}

}  // namespace leasepool::detail
