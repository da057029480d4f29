// Items sent, acknowledged, and sent again.
#include "remote/numbered.hpp"

#include <string>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail::remote {

std::uint64_t NumberedSender::push(FrameType type, Bytes body) {
  items_.push_back({.type = type, .body = std::move(body)});
  kept_bytes_ += items_.back().body.size() + kFrameHeaderSize;
  return last_pushed();
}

const NumberedSender::Item* NumberedSender::due() const noexcept {
  if (next_ > last_pushed()) return nullptr;
  const Item& next = item(next_);
  return bytes_ == 0 || bytes_ + next.body.size() <= window_ ? &next : nullptr;
}

void NumberedSender::sent() noexcept {
  check(next_ <= last_pushed(), "what goes out was pushed");
  bytes_ += item(next_).body.size() + kFrameHeaderSize;
  if (next_ <= last_sent_) {
    ++resent_;
  } else {
    last_sent_ = next_;
  }
  ++next_;
}

void NumberedSender::acknowledged(std::uint64_t received) {
  if (received > last_sent_) {
    throw DecodeError("item " + std::to_string(received) + " is said to be received, and " +
                      std::to_string(last_sent_) + " was the last one sent");
  }
  while (first_ <= received) {
    const std::size_t size = items_.front().body.size() + kFrameHeaderSize;
    kept_bytes_ -= size;
    if (first_ < next_) {
      bytes_ -= size;
    } else {
      ++next_;  // it was to be sent again
    }
    items_.pop_front();
    ++first_;
  }
  check(!items_.empty() || kept_bytes_ == 0, "what is kept is what is not acknowledged");
  check(next_ >= first_ && (next_ > first_ || bytes_ == 0), "only what is on its way counts for the window");
}

void NumberedSender::send_again() noexcept {
  next_ = first_;
  bytes_ = 0;
}

void NumberedSender::missing(TimePoint now) noexcept {
  if (next_ == first_ || (sent_again_ != TimePoint::min() && now - sent_again_ < kPause)) return;
  sent_again_ = now;
  send_again();
}

}  // namespace leasepool::detail::remote
