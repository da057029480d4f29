// Backoff: how long a client waits before it tries to connect again. Pure but for its dice.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

#include "leasepool/duration.hpp"

namespace leasepool::detail::nats {

// Short pauses while whoever waits has hope (a server that restarts is back within a second), then longer ones. All are
// drawn by lot, so that a thousand clients that lost the same server do not come back at once.
class Backoff {
 public:
  explicit Backoff(Duration eager_for) : eager_for_(eager_for) {}

  // A connection was made; and one was lost, that had lasted so long. One that never lasts is no better than none.
  void connected(TimePoint now) noexcept { connected_at_ = now; }
  [[nodiscard]] Duration after_loss(TimePoint now) noexcept {
    if (now - connected_at_ >= kLasting) restart(now);
    return after_failure(now);
  }
  // An attempt failed.
  [[nodiscard]] Duration after_failure(TimePoint now) noexcept {
    if (trouble_since_ == TimePoint{}) restart(now);
    if (now - trouble_since_ < eager_for_) return between(kLongestEager / 10, kLongestEager);
    pause_ = std::min(2 * pause_, kLongest);
    return between(pause_ / 2, pause_);
  }

  static constexpr Duration kLongestEager = std::chrono::milliseconds(100);
  static constexpr Duration kLongest = std::chrono::seconds(2);

 private:
  static constexpr Duration kLasting = std::chrono::seconds(1);

  void restart(TimePoint now) noexcept {
    trouble_since_ = now;
    pause_ = kLongestEager;
  }
  Duration between(Duration least, Duration most) noexcept {
    return Duration(std::uniform_int_distribution<Duration::rep>(least.count(), most.count())(random_));
  }

  const Duration eager_for_;
  TimePoint connected_at_{};
  TimePoint trouble_since_{};
  Duration pause_ = kLongestEager;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace leasepool::detail::nats
