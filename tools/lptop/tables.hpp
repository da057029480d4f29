// What lptop shows of one reading and the one before it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "processes.hpp"
#include "table.hpp"

namespace lptop {

struct Tables {
  // "service (pid 71) on io_uring", of several loops or programs one behind the other.
  std::string programs;
  Table managers;
  Table grinders;
  // By what they are about: leases, calls, workers, waiters, nodes.
  std::vector<Table> details;
};

// `before` may be empty; what has come meanwhile is then all that there ever was, and rates are not known.
Tables make_tables(const std::vector<nlohmann::json>& now, const std::vector<nlohmann::json>& before,
                   Processes& processes);

}  // namespace lptop
