// What every verb of I/O is made of: a wait that its awaitable cancels when it goes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "leasepool/awaitable.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

template <class T>
using IoCallback = std::move_only_function<void(Result<T>)>;

// Who has waits, each named by a number. Loop thread only.
class IoOwner {
 public:
  // Nothing is delivered to that wait any more, and nothing of its buffers is used once this has returned. What it had
  // taken is kept for the next. Nothing if it has ended.
  virtual void cancel_wait(std::uint64_t wait) noexcept = 0;

 protected:
  ~IoOwner() = default;
};

LEASEPOOL_EXPORT void cancel_io(IoOwner& owner, std::uint64_t wait) noexcept;

// In an awaitable: cancels its wait when it is destroyed.
class IoTicket {
 public:
  IoTicket(std::shared_ptr<IoOwner> owner, std::uint64_t wait) noexcept : owner_(std::move(owner)), wait_(wait) {}
  IoTicket(IoTicket&&) noexcept = default;
  IoTicket(const IoTicket&) = delete;
  IoTicket& operator=(const IoTicket&) = delete;
  IoTicket& operator=(IoTicket&&) = delete;
  ~IoTicket() {
    if (owner_) cancel_io(*owner_, wait_);
  }

 private:
  std::shared_ptr<IoOwner> owner_;
  std::uint64_t wait_;
};

// `begin` starts the verb with a callback and returns its ticket.
template <class T, class Begin>
auto make_io_awaitable(Begin begin) {
  auto start = [begin = std::move(begin)](AwaitReceiver<T> receiver) {
    return begin(IoCallback<T>(std::move(receiver)));
  };
  return Awaitable<T, decltype(start)>(std::move(start));
}

}  // namespace leasepool::detail
