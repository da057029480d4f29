// StatusPage: memory that a worker and its parent share, where the worker notes which call it begins and
// ends. It outlives the worker, so the parent knows what had begun. Sealed: the worker cannot shrink it under the
// parent. What stands in it is the worker's word, used only to choose between "not begun" and "may have run", and to
// say more of an end.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/unique_fd.hpp"
#include "pool/stack_note.hpp"

namespace leasepool::detail {

struct WorkerStatus {
  std::atomic<std::uint64_t> begun;            // id of the last call whose frame was taken up
  std::atomic<std::uint64_t> ended;            // id of the last call whose outcome was complete
  std::atomic<std::uint64_t> out_of_memory;    // id of the last call that asked for more memory than there was
  std::atomic<std::uint64_t> resident_memory;  // bytes, as of the last call's end
  StackNote stack;
  std::atomic<std::uint64_t> dropped_lines;  // of leasepool::log(), for which there was no room
  std::atomic<std::uint64_t> blocked_call;   // the system call for which the sandbox ended it, see blocked_call.hpp
  std::atomic<std::uint32_t> seccomp;        // whether the sandbox's filter is in force, when it says hello
  std::atomic<std::uint32_t> landlock_abi;   // the same of Landlock; 0: not in force

  // The ids of calls that were sent and not begun: the n-th call's is in claims[n % kClaims] until the worker clears it
  // to begin it, or the parent to take it back, whoever is first.
  static constexpr std::size_t kClaims = 64;
  std::array<std::atomic<std::uint64_t>, kClaims> claims;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "shared between processes");

class StatusPage {
 public:
  StatusPage() = default;
  StatusPage(StatusPage&& other) noexcept : status_(std::exchange(other.status_, nullptr)) {}
  StatusPage& operator=(StatusPage&& other) noexcept {
    std::swap(status_, other.status_);
    return *this;
  }
  StatusPage(const StatusPage&) = delete;
  StatusPage& operator=(const StatusPage&) = delete;
  ~StatusPage();

  // A new page, and a descriptor to map it elsewhere. Throws std::system_error.
  static std::pair<StatusPage, UniqueFd> create();

  // The page behind a descriptor. Throws std::system_error.
  static StatusPage map(int fd);

  WorkerStatus* operator->() const noexcept { return status_; }

 private:
  explicit StatusPage(WorkerStatus* status) noexcept : status_(status) {}
  WorkerStatus* status_ = nullptr;
};

}  // namespace leasepool::detail
