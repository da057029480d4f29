// The two ends of a stream of numbered items: each item is taken once and in its order, whatever becomes of messages on
// their way. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/duration.hpp"
#include "remote/frame.hpp"

namespace leasepool::detail::remote {

// Keeps items until the other end says that it has them. Never more bytes than the window are on their way, but for one
// item.
class NumberedSender {
 public:
  // How long what was sent again may take until it is there, and that is heard of.
  static constexpr Duration kPause = std::chrono::milliseconds(20);

  explicit NumberedSender(std::size_t window) : window_(window) {}

  // Returns its number.
  std::uint64_t push(FrameType type, Bytes body);

  struct Item {
    FrameType type{};
    Bytes body;
  };
  // What is to go out next, and its number; null where nothing is due. sent() says that it has gone out.
  [[nodiscard]] const Item* due() const noexcept;
  [[nodiscard]] std::uint64_t due_number() const noexcept { return next_; }
  void sent() noexcept;

  // The other end has all up to `received`. Throws DecodeError where it cannot.
  void acknowledged(std::uint64_t received);

  // What has gone out and was not acknowledged goes out again: the connection was lost, or the publish failed.
  void send_again() noexcept;
  // The same, where the other end misses something: once for each time that it can have heard of the last one.
  void missing(TimePoint now) noexcept;

  // The last that has ever gone out: all behind it is certainly not with the other end.
  [[nodiscard]] std::uint64_t last_sent() const noexcept { return last_sent_; }
  [[nodiscard]] std::uint64_t last_pushed() const noexcept { return first_ + items_.size() - 1; }
  [[nodiscard]] bool all_acknowledged() const noexcept { return items_.empty(); }
  // Of items that are not acknowledged.
  [[nodiscard]] std::size_t kept_bytes() const noexcept { return kept_bytes_; }
  [[nodiscard]] std::size_t resent() const noexcept { return resent_; }

 private:
  [[nodiscard]] const Item& item(std::uint64_t number) const noexcept { return items_[number - first_]; }

  std::size_t window_;
  std::deque<Item> items_;       // from first_ on
  std::uint64_t first_ = 1;      // the first that is not acknowledged
  std::uint64_t next_ = 1;       // the next to go out: first_ to last_pushed() + 1
  std::uint64_t last_sent_ = 0;  // at least next_ - 1
  std::size_t bytes_ = 0;        // on their way: of [first_, next_)
  std::size_t kept_bytes_ = 0;
  std::size_t resent_ = 0;
  TimePoint sent_again_ = TimePoint::min();
};

class NumberedReceiver {
 public:
  enum class Verdict { is_next, repeat, gap };

  // Whether the item is to be taken; it then counts as received.
  [[nodiscard]] Verdict receive(std::uint64_t number) noexcept {
    if (number <= received_) return Verdict::repeat;
    if (number != received_ + 1) return Verdict::gap;
    ++received_;
    return Verdict::is_next;
  }
  [[nodiscard]] std::uint64_t received() const noexcept { return received_; }

 private:
  std::uint64_t received_ = 0;
};

}  // namespace leasepool::detail::remote
