// Link: all leases between one manager and one node, in messages that carry several frames; and heartbeats. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "leasepool/duration.hpp"
#include "remote/frame.hpp"
#include "remote/liveness.hpp"

namespace leasepool::detail::remote {

// Bytes of one message, about, where the server takes as many.
inline constexpr std::size_t kMessage = std::size_t{192} << 10;

// After which what there was no memory for is tried again.
inline constexpr Duration kRetry = std::chrono::milliseconds(10);

// Lease is a ManagerLease or a NodeLease.
template <class Lease>
class Link {
 public:
  Link(std::uint64_t self, std::uint64_t peer, Liveness of_peer, Duration heartbeat, TimePoint now)
      : liveness(of_peer), peer_(peer), message_(self, peer), heartbeat_(heartbeat), next_beat_(now) {}

  // Returns the lease that the frame is about; null where it is not known here, and then the other end is told.
  [[nodiscard]] Lease* lease_of(const Frame& frame) {
    const auto found = leases.find(frame.lease);
    if (found != leases.end()) return &found->second;
    const bool heard_before = !unknown_.empty() && unknown_.back() == frame.lease;
    if (frame.type != FrameType::gone && !heard_before && unknown_.size() < kMaxUnknown)
      unknown_.push_back(frame.lease);
    return nullptr;
  }

  // Says of everything how far it is, now: when the connection has come back, for one.
  void beat_now() noexcept { next_beat_ = TimePoint::min(); }

  // The connection was lost, and what was on its way may be.
  void send_again() noexcept {
    for (auto& [id, lease] : leases) lease.send_again();
    liveness.disconnected();
    beat_now();
  }

  [[nodiscard]] std::uint64_t peer() const noexcept { return peer_; }
  // Whether somebody is to be told of a lease that is none.
  [[nodiscard]] bool has_unknown() const noexcept { return !unknown_.empty(); }
  [[nodiscard]] TimePoint next_beat() const noexcept { return next_beat_; }

  // Publishes messages until nothing is due. Where `publish` returns false, the rest waits until it is called again,
  // and what that message had goes out again.
  template <std::predicate<std::span<const std::byte>> Publish>
  void write(TimePoint now, std::size_t limit, Publish publish) {
    const bool beats = now >= next_beat_;
    if (beats) {
      for (auto& [id, lease] : leases) lease.want_marks();
      next_beat_ = deadline_after(now, heartbeat_);
    }
    if (!write_unknown(limit, publish)) return;
    bool published = false;
    for (auto at = leases.begin(); at != leases.end();) {
      if (!at->second.wants_to_write()) {
        ++at;
      } else {
        const std::size_t before = message_.size();
        at->second.write(message_, limit);
        if (message_.size() != before && !at->second.wants_to_write()) {
          ++at;
          continue;
        }
        if (message_.empty()) break;
        if (!flush(publish)) return;
        published = true;
      }
    }
    if (!message_.empty() || (beats && !published)) (void)flush(publish);
  }

  std::map<std::uint64_t, Lease> leases;
  Liveness liveness;

 private:
  static constexpr std::size_t kMaxUnknown = 64;

  template <class Publish>
  bool flush(Publish& publish) {
    const bool published = publish(message_.bytes());
    message_.clear();
    if (!published) {
      for (auto& [id, lease] : leases) lease.send_again();
    }
    return published;
  }
  template <class Publish>
  bool write_unknown(std::size_t limit, Publish& publish) {
    for (const std::uint64_t lease : std::exchange(unknown_, {})) {
      if (message_.size() + kFrameHeaderSize > limit && !flush(publish)) return false;
      message_.add({.type = Lease::kOfUnknown, .lease = lease, .number = 0, .body = {}});
    }
    return true;
  }

  std::uint64_t peer_;
  MessageWriter message_;
  Duration heartbeat_;
  TimePoint next_beat_;
  std::vector<std::uint64_t> unknown_;  // leases of which frames came
};

}  // namespace leasepool::detail::remote
