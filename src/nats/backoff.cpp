// The pauses of a client without a server.
#include "nats/backoff.hpp"

#include <algorithm>

namespace leasepool::detail::nats {

namespace {

constexpr Duration kLasting = std::chrono::seconds(1);  // of a connection

}  // namespace

Backoff::Backoff(Duration eager_for) : eager_for_(eager_for), random_(std::random_device{}()) {}

Duration Backoff::after_loss(TimePoint now) noexcept {
  if (now - connected_at_ >= kLasting) restart(now);
  return after_failure(now);
}

Duration Backoff::after_failure(TimePoint now) noexcept {
  if (trouble_since_ == TimePoint{}) restart(now);
  if (now - trouble_since_ < eager_for_) return between(kLongestEager / 10, kLongestEager);
  pause_ = std::min(2 * pause_, kLongest);
  return between(pause_ / 2, pause_);
}

void Backoff::restart(TimePoint now) noexcept {
  trouble_since_ = now;
  pause_ = kLongestEager;
}

Duration Backoff::between(Duration least, Duration most) noexcept {
  return Duration(std::uniform_int_distribution<Duration::rep>(least.count(), most.count())(random_));
}

}  // namespace leasepool::detail::nats
