// Wake: the frames `wake` that a channel sends, one at a time: wanted, under way, or sent in part. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/check.hpp"
#include "wire/frame.hpp"

namespace leasepool::detail {

// One thread.
class Wake {
 public:
  // Another is wanted. Until its first byte is on its way, one will do however often it is wanted.
  void want() noexcept { wanted_ = true; }

  // Whether there is something to send; no other frame may come before the rest of one.
  [[nodiscard]] bool due() const noexcept { return wanted_ || sent_ != 0; }

  // What is to be sent next; and it is under way, until sent() or refused().
  [[nodiscard]] std::span<const std::byte> left() const noexcept {
    static const EmptyFrame kFrame = empty_frame(FrameType::wake);
    return std::span(kFrame).subspan(sent_);
  }
  void begun() noexcept {
    check(due(), "a wake that is sent was wanted");
    check(!std::exchange(under_way_, true), "one wake is under way at a time");
    if (sent_ == 0) wanted_ = false;  // one that is wanted from now on is another: this may be read soon
  }
  void sent(std::size_t count) noexcept {
    check(std::exchange(under_way_, false), "a wake that was sent was under way");
    check(count <= kFrameHeaderSize - sent_, "no more of a wake is sent than there is");
    sent_ = (sent_ + count) % kFrameHeaderSize;
  }
  // Nothing of it was taken: it is to be sent again, or the rest of it.
  void refused() noexcept {
    check(std::exchange(under_way_, false), "a wake that was refused was under way");
    if (sent_ == 0) wanted_ = true;
  }

  // Nothing is sent any more.
  void stop() noexcept {
    wanted_ = false;
    sent_ = 0;
  }

 private:
  bool wanted_ = false;
  bool under_way_ = false;
  std::size_t sent_ = 0;  // of one, in bytes
};

}  // namespace leasepool::detail
