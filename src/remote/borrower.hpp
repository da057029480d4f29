// Borrower: who wants a pool of a node, and has one then, as the connection to the nodes sees it.
#pragma once

#include <string>

#include "leasepool/error.hpp"
#include "remote/acquire_bodies.hpp"
#include "remote/manager_lease.hpp"

namespace leasepool::detail::remote {

// A pool that a node has handed over, with what the node is.
struct Loan {
  ManagerLease& lease;
  std::string node;
  const GrantBody& about;
};

// Loop thread only. May call anything of the connection.
class Borrower : public ManagerLeaseSink {
 public:
  virtual void granted(Loan loan) noexcept = 0;
  // All that came in one message was told: lease.begun() may have moved.
  virtual void message_taken() = 0;
  // The node stops when its leases have ended. May come again.
  virtual void node_drains() = 0;
  // The lease is over; nothing of it runs any more, or nobody can say. It stays where it is until this returns.
  virtual void lost(const Error& why) = 0;

 protected:
  ~Borrower() = default;
};

}  // namespace leasepool::detail::remote
