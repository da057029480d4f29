// Backoff: how long a client waits before it tries to connect again. Pure but for its dice.
#pragma once

#include <chrono>
#include <random>

#include "leasepool/duration.hpp"

namespace leasepool::detail::nats {

// Short pauses while whoever waits has hope (a server that restarts is back within a second), then longer ones. All are
// drawn by lot, so that a thousand clients that lost the same server do not come back at once.
class Backoff {
 public:
  // Throws std::exception where the system has no random number.
  explicit Backoff(Duration eager_for);

  // A connection was made; and one was lost. One that never lasts is no better than none.
  void connected(TimePoint now) noexcept { connected_at_ = now; }
  [[nodiscard]] Duration after_loss(TimePoint now) noexcept;
  // An attempt failed.
  [[nodiscard]] Duration after_failure(TimePoint now) noexcept;

  static constexpr Duration kLongestEager = std::chrono::milliseconds(100);
  static constexpr Duration kLongest = std::chrono::seconds(2);

 private:
  void restart(TimePoint now) noexcept;
  [[nodiscard]] Duration between(Duration least, Duration most) noexcept;

  const Duration eager_for_;
  TimePoint connected_at_{};
  TimePoint trouble_since_{};
  Duration pause_ = kLongestEager;
  std::minstd_rand random_;
};

}  // namespace leasepool::detail::nats
