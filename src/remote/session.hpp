// Session: one lease's two streams between a manager and a node, with what each end says of how far they have come.
// Pure: frames in, frames out.
//
// Each end numbers what it sends. The other takes the next number only, drops what it has had, and says so when one is
// missing; what is not acknowledged is kept, and goes out again. So a call runs at most once however often it is sent,
// and an outcome is heard once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/duration.hpp"
#include "remote/frame.hpp"
#include "remote/numbered.hpp"

namespace leasepool::detail::remote {

class Session {
 public:
  Session(std::uint64_t lease, std::size_t window) : lease_(lease), window_(window), sender_(window) {}

  // Queues an item; returns its number.
  std::uint64_t push(FrameType type, Bytes body) { return sender_.push(type, std::move(body)); }

  // An item or marks of this lease. True: it is the next item, and to be taken now. Throws DecodeError for what an
  // honest other end does not send.
  [[nodiscard]] bool receive(const Frame& frame, TimePoint now);

  // Whether write() would add something.
  [[nodiscard]] bool wants_to_write() const noexcept { return marks_wanted_ || sender_.due() != nullptr; }

  // Adds items that are due, and marks, up to `limit` bytes of message; one item in any case, if there is nothing else
  // in the message. To be repeated with the next message while wants_to_write().
  void write(MessageWriter& message, std::size_t limit);

  // With the next message, also where nothing is due: a heartbeat.
  void want_marks() noexcept { marks_wanted_ = true; }

  // The connection was lost, or a message could not be published.
  void send_again() noexcept {
    sender_.send_again();
    marks_wanted_ = true;
  }

  // What the marks say of calls: all up to this number have begun, or ended.
  void set_begun(std::uint64_t number) noexcept { begun_ = number; }
  [[nodiscard]] std::uint64_t begun_there() const noexcept { return begun_there_; }

  [[nodiscard]] std::uint64_t lease() const noexcept { return lease_; }
  [[nodiscard]] std::size_t window() const noexcept { return window_; }
  [[nodiscard]] std::uint64_t received() const noexcept { return receiver_.received(); }
  [[nodiscard]] std::uint64_t last_sent() const noexcept { return sender_.last_sent(); }
  [[nodiscard]] bool all_acknowledged() const noexcept { return sender_.all_acknowledged(); }
  [[nodiscard]] std::size_t kept_bytes() const noexcept { return sender_.kept_bytes(); }
  [[nodiscard]] std::size_t resent() const noexcept { return sender_.resent(); }

 private:
  void take_marks(const Frame& frame, TimePoint now);
  void report_gap(TimePoint now) noexcept;
  void write_marks(MessageWriter& message);

  std::uint64_t lease_;
  std::size_t window_;
  NumberedSender sender_;
  NumberedReceiver receiver_;
  std::size_t unacknowledged_ = 0;  // bytes received since the last marks went out
  std::uint64_t begun_ = 0;
  std::uint64_t begun_there_ = 0;
  bool misses_some_ = false;
  std::uint64_t reported_gap_ = UINT64_MAX;  // behind this item, at that time
  TimePoint gap_reported_{};
  bool marks_wanted_ = false;
};

}  // namespace leasepool::detail::remote
