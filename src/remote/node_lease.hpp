// NodeLease: a lease as the node that gives it sees it: which calls it accepts, and what it says of them. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/duration.hpp"
#include "remote/frame.hpp"
#include "remote/lease_bodies.hpp"
#include "remote/manager_lease.hpp"
#include "remote/parts.hpp"
#include "remote/session.hpp"

namespace leasepool::detail::remote {

// What a manager asks for. May call anything of the lease.
class NodeLeaseSink {
 public:
  // Once for each call. The arguments lie there until it returns.
  virtual void call_came(std::uint64_t call, const CallHead& head, std::span<const std::byte> arguments) = 0;
  // May have ended meanwhile.
  virtual void cancel_came(std::uint64_t call) = 0;
  virtual void extension_came(const ExtendBody& extension) = 0;
  // What follows is of this owner's lease.
  virtual void lend_came(const LendBody& lending) = 0;
  // The manager is done with it: what runs is to be killed, and the lease forgotten. May come again.
  virtual void end_came() = 0;

 protected:
  ~NodeLeaseSink() = default;
};

class NodeLease {
 public:
  // What the other end is told of a lease that is none here.
  static constexpr FrameType kOfUnknown = FrameType::gone;

  // Calls that have no outcome yet. More are as if they were lost, and are sent again: an honest manager does not have
  // so many on their way.
  static constexpr std::size_t kMaxOpenCalls = 66'000;

  // The hard expiry counts from now, when the request came.
  NodeLease(std::uint64_t lease, const LeaseLimits& limits, const ExtendBody& durations, TimePoint now)
      : limits_(limits), session_(lease, limits.window), assembly_(limits.max_payload) {
    set_durations(durations, now);
  }

  // A frame of this lease. Throws DecodeError for what an honest manager does not send: then it is to be closed.
  void receive(const Frame& frame, TimePoint now, NodeLeaseSink& sink);

  // A worker was given the call.
  void call_begun(std::uint64_t call);
  void call_ended(const OutcomeHead& head, std::span<const std::byte> bytes);

  // After which it is the node that kills.
  [[nodiscard]] TimePoint hard_expiry() const noexcept { return hard_expiry_; }

  // Accepts nothing more. Every call that was accepted has ended.
  void close(CloseReason reason);
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  // The manager has heard of it all.
  [[nodiscard]] bool finished() const noexcept { return closed_ && session_.all_acknowledged(); }

  [[nodiscard]] std::size_t open_calls() const noexcept { return open_; }
  // Of outcomes that the manager has not said to have.
  [[nodiscard]] std::size_t kept_bytes() const noexcept { return session_.kept_bytes(); }
  [[nodiscard]] std::size_t resent() const noexcept { return session_.resent(); }

  [[nodiscard]] bool wants_to_write() const noexcept { return session_.wants_to_write(); }
  void write(MessageWriter& message, std::size_t limit) { session_.write(message, limit); }
  void want_marks() noexcept { session_.want_marks(); }
  void send_again() noexcept { session_.send_again(); }

 private:
  void set_durations(const ExtendBody& durations, TimePoint now) noexcept;
  void take_call(const Frame& frame, NodeLeaseSink& sink);

  LeaseLimits limits_;
  Session session_;
  PartAssembly assembly_;
  std::map<std::uint64_t, std::size_t> waiting_;  // accepted, and not given to a worker; and their bytes
  std::size_t waiting_bytes_ = 0;
  std::size_t begun_bytes_ = 0;  // that the manager was not told of
  std::size_t open_ = 0;
  std::uint64_t last_call_ = 0;
  TimePoint hard_expiry_{};
  bool closed_ = false;
};

}  // namespace leasepool::detail::remote
