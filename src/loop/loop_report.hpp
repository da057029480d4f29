// LoopReport: what lives on a loop and does now, for people to see.
#pragma once

#include <vector>

#include "leasepool/grinder_stats.hpp"
#include "leasepool/loop_engine.hpp"
#include "leasepool/node_stats.hpp"
#include "leasepool/stats.hpp"

namespace leasepool::detail {

struct LoopReport {
  LoopEngine engine = LoopEngine::automatic;
  std::vector<ManagerStats> managers{};
  std::vector<GrinderStats> grinders{};
  std::vector<NodeStats> nodes{};
};

}  // namespace leasepool::detail
