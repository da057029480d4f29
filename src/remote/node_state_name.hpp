// What the states of a node are called.
#pragma once

#include <string_view>

#include "leasepool/node_stats.hpp"

namespace leasepool::detail::remote {

[[nodiscard]] constexpr std::string_view name_of(NodeState state) noexcept {
  switch (state) {
    case NodeState::stopped: return "stopped";
    case NodeState::starting: return "starting";
    case NodeState::running: return "running";
    case NodeState::draining: return "draining";
    case NodeState::stopping: break;
  }
  return "stopping";
}

}  // namespace leasepool::detail::remote
