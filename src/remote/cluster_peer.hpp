// A node as a manager knows it.
#pragma once

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

struct ClusterPeer {
  std::string name;
  std::string subject;
  std::string reply;  // by which the server says that it is not there
  Link<ManagerLease> link;
  std::map<std::uint64_t, Borrower*> borrowers;  // by lease
  std::optional<GrantBody> about;
  bool may_be_replaced = false;  // another process has come that has its name
  bool fits = true;              // what crosses is encoded alike
  std::uint64_t resent = 0;
  std::optional<Duration> round_trip;
  std::optional<BusyBody> busy;  // what it said last, if it has lent nothing since
  TimePoint last_heard{};
};

}  // namespace leasepool::detail::remote
