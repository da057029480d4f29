// A node as a manager knows it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "leasepool/duration.hpp"
#include "remote/acquire_bodies.hpp"
#include "remote/borrower.hpp"
#include "remote/link.hpp"
#include "remote/manager_lease.hpp"

namespace leasepool::detail::remote {

// A node that lends nothing, and was not heard for so long, is no longer counted among those that are there.
inline constexpr Duration kRemembered = std::chrono::minutes(5);

struct ClusterPeer {
  std::string name;
  std::string subject;
  std::string reply;  // by which the server says that it is not there
  Link<ManagerLease> link;
  std::map<std::uint64_t, Borrower*> borrowers;  // by lease
  std::optional<GrantBody> about;
  TimePoint replaced_until{};  // another process has come on its machine: perhaps in its place
  bool fits = true;            // what crosses is encoded alike
  std::uint64_t resent = 0;
  std::optional<Duration> round_trip;
  std::optional<TimePoint> asked_at;  // for a pool at once; until it has answered
  std::optional<BusyBody> busy;       // what it said last, if it has lent nothing since
  TimePoint last_heard{};
};

}  // namespace leasepool::detail::remote
