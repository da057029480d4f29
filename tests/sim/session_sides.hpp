// A manager and a node of the simulation: the real links and leases, with imaginary workers and callers around them.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "remote/link.hpp"
#include "remote/manager_lease.hpp"
#include "remote/node_lease.hpp"
#include "session_model.hpp"
#include "sim_scheduler.hpp"

namespace leasepool::test {

namespace remote = detail::remote;

// What both need of the world.
struct SessionWorld {
  SimScheduler scheduler;
  SessionModel model;
  std::function<std::size_t(std::size_t)> pick;  // below
  // Publishes; false where the server cannot be reached.
  std::function<bool(bool from_manager, std::span<const std::byte> message)> publish;
  // Runs a timer of one of the processes: later, while that is stopped.
  std::function<void(bool of_manager, std::function<void()>)> run_timer;
};

constexpr std::size_t kSmallMessage = 1500;
inline const remote::LeaseLimits kSmallLimits{.window = 2000, .max_payload = 4000, .max_part = 300};

// One process with leases on one node.
class SimManagerSide final : public std::enable_shared_from_this<SimManagerSide> {
 public:
  using Link = remote::Link<remote::ManagerLease>;
  static constexpr Duration kNodeTimeout = std::chrono::seconds(5);
  static constexpr Duration kGrace = std::chrono::seconds(2);

  SimManagerSide(SessionWorld& world, std::uint64_t self, std::uint64_t node);

  void begin_lease(std::uint64_t lease, Duration hard_expiry);
  void submit(std::uint64_t lease, std::size_t size);
  void cancel(std::uint64_t lease);
  void extend(std::uint64_t lease, Duration by);
  void end_lease(std::uint64_t lease);

  void receive(std::span<const std::byte> message);
  void nobody_listens();
  void disconnected() { link.send_again(); }
  void pump();
  void die();

  [[nodiscard]] std::vector<std::uint64_t> leases() const;
  [[nodiscard]] bool has_open_calls() const;
  [[nodiscard]] std::uint64_t self() const noexcept { return self_; }
  [[nodiscard]] std::uint64_t peer() const noexcept { return node_; }

  Link link;
  std::uint64_t nodes_lost = 0;
  std::uint64_t resent = 0;  // by leases that ended in order
  bool dead = false;

 private:
  struct Held final : remote::ManagerLeaseSink {
    Held(SessionWorld& of, std::uint64_t lease) : world(of), id(lease) {}
    void outcome_came(const remote::OutcomeHead& head, std::span<const std::byte> bytes) override;
    void extension_holds() override {}
    void lease_closed(remote::CloseReason) override { over = true; }

    SessionWorld& world;
    std::uint64_t id;
    std::map<std::uint64_t, std::uint64_t> sent;  // by number: the call's id
    std::deque<std::pair<std::uint64_t, std::size_t>> waiting;
    std::set<std::uint64_t> cancelled;
    TimePoint hard_expiry{};
    bool over = false;
  };

  void fail_all(Held& held, const remote::ManagerLease& lease);
  void hand_over(Held& held, remote::ManagerLease& lease);
  void expire();
  void look_after_leases();
  void arm();

  SessionWorld& world_;
  std::uint64_t self_;
  std::uint64_t node_;
  std::map<std::uint64_t, std::unique_ptr<Held>> held_;
  detail::TimerId timer_ = 0;
};

// One process that gives leases to one manager.
class SimNodeSide final : public std::enable_shared_from_this<SimNodeSide> {
 public:
  using Link = remote::Link<remote::NodeLease>;
  static constexpr Duration kCallerTimeout = std::chrono::seconds(10);
  static constexpr std::size_t kWorkers = 2;

  SimNodeSide(SessionWorld& world, std::uint64_t self, std::uint64_t manager);

  void begin_lease(std::uint64_t lease, Duration hard_expiry);
  void receive(std::span<const std::byte> message);
  void disconnected() { link.send_again(); }
  void pump();
  void die() {
    dead = true;
    arm();
  }
  // Closes the leases at once.
  void stop_now();

  [[nodiscard]] std::uint64_t self() const noexcept { return self_; }
  [[nodiscard]] std::uint64_t peer() const noexcept { return manager_; }

  Link link;
  bool dead = false;

 private:
  struct Held final : remote::NodeLeaseSink {
    explicit Held(SimNodeSide& of) : node(of) {}
    void call_came(std::uint64_t call, const remote::CallHead& head, std::span<const std::byte> arguments) override;
    void cancel_came(std::uint64_t call) override;
    void extension_came(const remote::ExtendBody&) override {}
    void lend_came(const remote::LendBody&) override {}
    void end_came() override { ended = true; }

    SimNodeSide& node;
    remote::NodeLease* lease = nullptr;
    std::deque<std::pair<std::uint64_t, std::uint64_t>> waiting;  // number and id
    std::map<std::uint64_t, std::uint64_t> running;
    bool ended = false;
  };

  void run_some(std::uint64_t lease);
  void ended(std::uint64_t lease, std::uint64_t number, std::uint64_t call);
  void answer(Held& held, std::uint64_t call, remote::OutcomeKind kind, bool may_have_run, std::size_t size);
  void kill_all(Held& held);
  void close(std::uint64_t lease, remote::CloseReason reason);
  void look_after_leases();
  void arm();

  SessionWorld& world_;
  std::uint64_t self_;
  std::uint64_t manager_;
  std::map<std::uint64_t, std::unique_ptr<Held>> held_;
  detail::TimerId timer_ = 0;
};

}  // namespace leasepool::test
