// ManagerLease: a lease on a node as its manager sees it, and what is certain about each of its calls. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <span>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/duration.hpp"
#include "remote/frame.hpp"
#include "remote/lease_bodies.hpp"
#include "remote/parts.hpp"
#include "remote/session.hpp"

namespace leasepool::detail::remote {

struct LeaseLimits {
  std::size_t window = std::size_t{4} << 20;        // bytes on their way, and of calls that have not begun
  std::size_t max_payload = std::size_t{64} << 20;  // of one call's arguments, or of one result
  std::size_t max_part = kMaxPart;
};

// What a lease tells. Not inside push, cancel, extend or end.
class ManagerLeaseSink {
 public:
  // Once for each call at most. The bytes lie there until it returns.
  virtual void outcome_came(const OutcomeHead& head, std::span<const std::byte> bytes) = 0;
  virtual void extension_holds() = 0;
  // The node has closed it, or does not know it: no outcome follows. may_have_run() says what is certain of what is
  // open.
  virtual void lease_closed(CloseReason reason) = 0;

 protected:
  ~ManagerLeaseSink() = default;
};

class ManagerLease {
 public:
  // What the other end is told of a lease that is none here.
  static constexpr FrameType kOfUnknown = FrameType::end;

  ManagerLease(std::uint64_t lease, const LeaseLimits& limits)
      : limits_(limits), session_(lease, limits.window), assembly_(limits.max_payload) {}

  // Whether one more call may be handed over now.
  [[nodiscard]] bool has_room(std::size_t size) const noexcept {
    return open() && (waiting_.empty() || waiting_bytes_ + size <= limits_.window);
  }

  // Returns the call's number, by which it is called from then on.
  std::uint64_t push(const CallHead& head, std::span<const std::byte> arguments);
  // Its outcome comes all the same.
  void cancel(std::uint64_t call);
  void extend(const ExtendBody& extension);
  // What is pushed from now on is of this lease.
  void lend(const LendBody& lending);

  // Everything is to be killed there. What is open stays without an outcome.
  void end() noexcept;

  // False only where it is certain that the call has not begun, and will not.
  [[nodiscard]] bool may_have_run(std::uint64_t call) const noexcept {
    return call <= session_.last_sent() && call <= accepted_at_most_;
  }
  // All calls up to it have begun.
  [[nodiscard]] std::uint64_t begun() const noexcept { return session_.begun_there(); }

  // A frame of this lease. Throws DecodeError for what an honest node does not send: then the lease is to be ended.
  void receive(const Frame& frame, TimePoint now, ManagerLeaseSink& sink);

  [[nodiscard]] bool wants_to_write() const noexcept { return open() ? session_.wants_to_write() : says_end_; }
  void write(MessageWriter& message, std::size_t limit);
  void want_marks() noexcept { open() ? session_.want_marks() : say_end_again(); }
  void send_again() noexcept { open() ? session_.send_again() : say_end_again(); }

  // Nothing more is to be said or heard.
  [[nodiscard]] bool finished() const noexcept { return state_ == State::closed && !says_end_; }
  // Calls that have gone out, and have no outcome.
  [[nodiscard]] std::size_t calls_in_doubt() const noexcept {
    return open() ? static_cast<std::size_t>(
                        std::distance(open_calls_.begin(), open_calls_.upper_bound(session_.last_sent())))
                  : 0;
  }
  [[nodiscard]] std::size_t resent() const noexcept { return session_.resent(); }

 private:
  enum class State : std::uint8_t { open, ending, closed };

  [[nodiscard]] bool open() const noexcept { return state_ == State::open; }
  void say_end_again() noexcept { says_end_ = says_end_ || state_ == State::ending; }
  void take_outcome(std::span<const std::byte> body, ManagerLeaseSink& sink);
  void forget_waiting(std::uint64_t call) noexcept;

  LeaseLimits limits_;
  Session session_;
  PartAssembly assembly_;
  std::map<std::uint64_t, std::size_t> open_calls_;  // without an outcome, and their bytes
  std::map<std::uint64_t, std::size_t> waiting_;     // of those, not known to have begun
  std::size_t waiting_bytes_ = 0;
  std::uint64_t accepted_at_most_ = UINT64_MAX;  // nothing behind this item has reached the node, nor will
  State state_ = State::open;
  bool says_end_ = false;
};

}  // namespace leasepool::detail::remote
