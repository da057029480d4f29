// How long decoding has taken.
#include "leasepool/detail/decode_limits.hpp"

#include <utility>

#include "base/clock.hpp"

namespace leasepool::detail {

void DecodingPatience::check_deadline() {
  values_until_look_ = kValuesPerLook;
  const TimePoint now = monotonic_now();
  if (!std::exchange(has_begun_, true)) begun_ = now;
  if (now - begun_ > most_time_) throw DecodingTimedOut(most_time_);
}

}  // namespace leasepool::detail
