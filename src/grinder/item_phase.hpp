// The phases of a grinder's item, and which follows which.
#pragma once

#include "base/check.hpp"
#include "leasepool/detail/work_item.hpp"

namespace leasepool::detail {

// Each item ends once; it waits and is in flight once, or again where a node was lost before it ran:
//
//   phase            | what it is                          | and then
//   -----------------|-------------------------------------|---------------------------------------------
//   outside          | not submitted                       | waiting_for_room, waiting, ended (refused)
//   waiting_for_room | max_pending items wait already      | waiting, ended
//   waiting          | in the queue                        | in_flight, ended
//   in_flight        | in a batch                          | ended, waiting (put back)
//   ended            | its outcome is on its way, or told  |
[[nodiscard]] constexpr bool may_follow(ItemPhase phase, ItemPhase next) noexcept {
  switch (phase) {
    case ItemPhase::outside: return next != ItemPhase::outside && next != ItemPhase::in_flight;
    case ItemPhase::waiting_for_room: return next == ItemPhase::waiting || next == ItemPhase::ended;
    case ItemPhase::waiting: return next == ItemPhase::in_flight || next == ItemPhase::ended;
    case ItemPhase::in_flight: return next == ItemPhase::ended || next == ItemPhase::waiting;
    case ItemPhase::ended: return false;
  }
  return false;
}

inline void change_phase(ItemState& item, ItemPhase next) noexcept {
  check(may_follow(item.phase, next), "an item waits, is in flight and ends, in this order");
  item.phase = next;
}

}  // namespace leasepool::detail
