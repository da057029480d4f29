// What must hold of a manager whatever is done to it, in as few words as possible. The model knows what was asked and
// what was answered; it does not know how the manager works.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "lease/manager_core.hpp"
#include "leasepool/detail/access.hpp"
#include "sim_pool.hpp"
#include "sim_scheduler.hpp"

namespace leasepool::test {

class ManagerModel {
 public:
  static void require(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error("does not hold: " + what);
  }

  // An acquire was asked for; its number is its place in the order.
  std::uint64_t asked(TimePoint now, std::optional<Duration> timeout) {
    waiting_.emplace(++last_request_, timeout ? now + *timeout : TimePoint::max());
    return last_request_;
  }
  void withdrawn(std::uint64_t request) { waiting_.erase(request); }

  void granted(std::uint64_t request, std::uint64_t lease_id) {
    require(waiting_.contains(request), "an acquire is answered once, and not after it was withdrawn");
    require(waiting_.begin()->first == request, "waiters are served in order");
    waiting_.erase(request);
    require(leases_.insert(lease_id).second, "a lease id is used once");
  }
  void refused(std::uint64_t request, Errc why, TimePoint now) {
    require(waiting_.contains(request), "an acquire is answered once, and not after it was withdrawn");
    if (why == Errc::timed_out) require(now >= waiting_.at(request), "a time-out is never early");
    waiting_.erase(request);
  }

  std::uint64_t called(std::uint64_t lease_id) {
    calls_.emplace(++last_call_, lease_id);
    return last_call_;
  }
  void answered(std::uint64_t call) { require(calls_.erase(call) == 1, "a call is completed once"); }

  // After every step.
  void check(const detail::ManagerCore& manager, const SimWorld& world) const {
    manager.check_consistency();
    std::size_t in_service = 0;
    for (const auto& weak : world.pools) {
      const auto pool = weak.lock();
      if (pool && pool->in_service()) ++in_service;
    }
    require(in_service <= manager.options().max_pools, "never more than max_pools pools in service");
    require(world.double_leases == 0, "no pool is leased twice");
    require(world.late_submits == 0, "a pool that was closed gets no calls");
    require(manager.available() + manager.leased() <= manager.options().max_pools, "no more is lent than there is");
    require(manager.total() >= manager.available() || manager.total() == 0, "what is available exists");
    if (manager.total() != 0) require(manager.total() == in_service, "the count of pools is the count of pools");
  }

  // When nothing is due at this time.
  void check_settled(detail::ManagerCore& manager, const SimWorld& world, const std::vector<ExecutorLease>& leases,
                     TimePoint now) const {
    std::set<std::uint64_t> lent;
    std::set<const detail::Pool*> pools;
    for (const ExecutorLease& lease : leases) {
      if (!lease.active()) continue;
      require(lease.hard_expires_at() > now, "a lease is not active past its hard expiry");
      require(pools.insert(leasepool::detail::Access::record(lease)->pool().get()).second,
              "a pool has one active lease");
      lent.insert(lease.lease_id());
    }
    for (const auto& [request, deadline] : waiting_) require(deadline > now, "nobody waits past a time-out");
    const bool started = manager.stats().started;
    require(started || lent.empty(), "a manager that does not run has lent nothing");
    require(started || waiting_.empty(), "a manager that does not run has no waiters");
    for (const auto& [call, lease_id] : calls_) lent.insert(lease_id);
    // A thread may still run what its caller has given up on.
    require(!world.kills || manager.leased() <= lent.size(), "a lease that was given back and has drained is not lent");
    if (!started) return;
    require(waiting_.empty() || manager.available() == 0, "nobody waits while a pool is free");
    require(manager.available() == 0 || manager.available() + manager.leased() <= manager.stats().desired,
            "an idle pool above the target goes at once");
    // What could not be made is tried again when check_interval has passed.
    if (world.last_failed_start && now < *world.last_failed_start + manager.options().check_interval) return;
    require(manager.total() >= manager.stats().desired, "what was revoked is replaced at once");
    const std::size_t starting = manager.total() - manager.available() - manager.leased();
    require(waiting_.size() <= starting || manager.total() == manager.options().max_pools,
            "a pool is made for everyone who waits, up to max_pools");
  }

  // After everything was given back and the clock has run: no capacity is lost.
  static void check_at_rest(detail::ManagerCore& manager) {
    require(manager.leased() == 0, "nothing is lent when everything was given back");
    require(manager.available() == manager.total(), "every pool is available");
    require(manager.total() >= manager.desired(), "no less than the target is there");
  }

  // After stop or destruction, when nothing is due any more.
  void check_empty(const SimScheduler& scheduler, const SimWorld& world) const {
    require(waiting_.empty(), "every acquire was answered");
    require(calls_.empty(), "every call was completed");
    require(scheduler.idle(), "no timer and no callback is left");
    for (const auto& weak : world.pools) {
      const auto pool = weak.lock();
      require(!pool || (!pool->in_service() && pool->empty()), "every pool is closed and empty");
    }
  }

 private:
  std::map<std::uint64_t, TimePoint> waiting_;  // and when its time is up
  std::set<std::uint64_t> leases_;
  std::map<std::uint64_t, std::uint64_t> calls_;  // and their leases
  std::uint64_t last_request_ = 0;
  std::uint64_t last_call_ = 0;
};

}  // namespace leasepool::test
