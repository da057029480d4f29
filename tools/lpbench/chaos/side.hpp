// Side: a manager and a grinder of one backend under load, whose users take what the hand does to them.
#pragma once

#include <leasepool/leasepool.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "account.hpp"

namespace lpbench::chaos {

struct SideOptions {
  Place place = Place::threads;
  std::string ledger;
  leasepool::RemoteOptions remote{};  // of Place::nodes alone
  leasepool::LogSink log{};
  std::uint64_t seed = 0;
};

class Side {
 public:
  Side(leasepool::Loop& loop, Account& account, SideOptions options);
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;
  ~Side() = default;

  // From the first start until end() was called, all calls were answered, and some more have shown that calls succeed.
  leasepool::Task<> live();
  void end() { over_ = true; }

  // What the hand does. Each returns whether there was something to do it to.
  bool expire_a_lease();
  bool restart();  // stopped and started, or destroyed and made again
  std::size_t drop_tasks();

  [[nodiscard]] Place place() const { return options_.place; }
  [[nodiscard]] std::uint64_t leases_revoked() const { return revoked_; }

 private:
  class HeldLease;
  class AwaitedCall;

  [[nodiscard]] std::uint64_t random(std::uint64_t from, std::uint64_t to) {
    return std::uniform_int_distribution(from, to)(random_);
  }
  [[nodiscard]] bool one_in(std::uint64_t count) { return random(1, count) == 1; }
  [[nodiscard]] std::chrono::microseconds random_time(std::uint64_t from, std::uint64_t to) {
    return std::chrono::microseconds(random(from, to));
  }
  [[nodiscard]] leasepool::ManagerOptions manager_options() const;
  [[nodiscard]] Request make_request(const Call& call);
  [[nodiscard]] Work random_work();
  [[nodiscard]] leasepool::CallOptions random_bounds();

  void make();
  void unmake();
  leasepool::Task<> start();
  leasepool::Task<> tend();
  leasepool::Task<> use_leases();
  leasepool::Task<std::optional<leasepool::ExecutorLease>> acquire(leasepool::AcquireOptions options);
  void call(const leasepool::ExecutorLease& lease, const std::shared_ptr<std::size_t>& open);
  leasepool::Task<> grind();
  leasepool::Task<> be_dropped();
  leasepool::Task<> await_calls(leasepool::ExecutorLease lease);
  leasepool::Task<> prove();

  leasepool::Loop& loop_;
  Account& account_;
  const SideOptions options_;
  std::mt19937_64 random_;
  std::optional<leasepool::LeasedExecutorManager> manager_;
  std::optional<leasepool::WorkGrinder> grinder_;
  std::vector<leasepool::ExecutorLease*> held_;
  std::uint64_t revoked_ = 0;  // by managers that are gone
  bool running_ = false;
  bool restart_wanted_ = false;
  bool over_ = false;
  leasepool::TaskGroup droppable_;  // last: its tasks use all that is above
};

}  // namespace lpbench::chaos
