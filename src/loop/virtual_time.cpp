// How a loop in a test goes on where others sleep: time jumps to the next deadline.
#include "loop/virtual_time.hpp"

#include <algorithm>
#include <stdexcept>

#include "loop/kept_timer.hpp"
#include "loop/loop_core.hpp"

namespace leasepool::detail {

// Instead of sleeping. Where I/O is under way, and no timer is set, it sleeps all the same.
bool LoopCore::skip_to_next_timer() {
  const TimePoint next = timers_.earliest();
  if (next < kPlaceKept) {
    time_->now = std::max(time_->now, next);
    return true;
  }
  constexpr std::size_t kDoorbell = 1;
  if (engine_->in_flight() > kDoorbell) return false;
  throw std::logic_error(
      "leasepool: a simulated loop has nothing to do, now or later: what is waited for does not come");
}

}  // namespace leasepool::detail
