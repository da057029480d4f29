// What a loop says of those that live on it.
#include "loop/loop_report.hpp"

#include "loop/loop_core.hpp"

namespace leasepool::detail {

LoopReport LoopCore::report() const {
  LoopReport report{.engine = engine_->kind()};
  clients_.add_to(report);
  for (ManagerStats& manager : report.managers) manager.engine = report.engine;
  for (NodeStats& node : report.nodes) node.local.engine = report.engine;
  return report;
}

}  // namespace leasepool::detail
