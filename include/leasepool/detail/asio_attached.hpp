// A Loop that an io_context dispatches. Of leasepool/asio.hpp.
#pragma once

#include <memory>
#include <utility>

#include "leasepool/detail/asio_outstanding.hpp"
#include "leasepool/fd.hpp"
#include "leasepool/loop.hpp"

namespace leasepool::detail::asio_side::inline LEASEPOOL_DETAIL_ASIO_KIND {

// Kept by the wait that it has under way, so that it ends with the io_context at the latest. It waits on a descriptor
// of its own for the loop's, which it cannot close and whose number it cannot confuse. Loop thread only.
class AttachedLoop : public std::enable_shared_from_this<AttachedLoop> {
 public:
  AttachedLoop(Loop& loop, net::io_context& context) : loop_(&loop), readable_(context) {
    Fd fd = duplicate(loop.poll_fd());
    readable_.assign(fd.get());
    (void)fd.release();
  }

  // Tells asio's reactor to look at the descriptor once more, so that what has come before is seen.
  void wait() {
    readable_.async_wait(net::posix::stream_descriptor::wait_read,
                         [self = shared_from_this()](const NetErrorCode& error) { self->woken(error); });
  }

  void detach() noexcept {
    loop_ = nullptr;
    NetErrorCode ignored;
    readable_.close(ignored);
  }

 private:
  static Fd duplicate(int fd) {
    struct Borrowed : Fd {
      using Fd::Fd;
      ~Borrowed() { (void)release(); }
    };
    return Borrowed(fd).duplicate();
  }

  // One of the loop's callbacks may detach it, or throw.
  void woken(const NetErrorCode& error) {
    if (loop_ == nullptr) return;
    if (error) throw NetSystemError(error, "leasepool::asio::attach");
    try {
      loop_->dispatch();
    } catch (...) {
      if (loop_ != nullptr) wait();
      throw;
    }
    if (loop_ != nullptr) wait();
  }

  Loop* loop_;
  net::posix::stream_descriptor readable_;
};

}  // namespace leasepool::detail::asio_side::inline LEASEPOOL_DETAIL_ASIO_KIND
