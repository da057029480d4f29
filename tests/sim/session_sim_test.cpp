// Random sequences of what can happen to a manager, a node and the server between them, against the model.
// LEASEPOOL_SIM_ONE_IN sets which part of them runs; LEASEPOOL_SIM_SEED replays one.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "session_sides.hpp"
#include "sim_sequences.hpp"

namespace session_sim {

using namespace std::chrono_literals;
using leasepool::Duration;
using leasepool::TimePoint;
using leasepool::test::SessionModel;
using Said = SessionModel::Said;
using leasepool::test::SessionWorld;
using leasepool::test::SimManagerSide;
using leasepool::test::SimNodeSide;

// Of all sequences.
struct Totals {
  std::uint64_t sequences = 0;
  std::uint64_t values = 0;
  std::uint64_t not_run = 0;
  std::uint64_t may_have_run = 0;
  std::uint64_t resent = 0;
  std::uint64_t nodes_lost = 0;
};

class Sequence {
 public:
  explicit Sequence(std::uint64_t seed) : random_(seed) {
    gentle_ = one_in(3);
    loses_ = one_in(2);
    repeats_ = one_in(2);
    reorders_ = one_in(2);
    world_.pick = [this](std::size_t below) { return pick(below); };
    world_.publish = [this](bool from_manager, std::span<const std::byte> message) {
      return publish(from_manager, message);
    };
    world_.run_timer = [this](bool of_manager, std::function<void()> timer) {
      Process& process = of_manager ? manager_ : node_;
      process.stopped ? process.timers.push_back(std::move(timer)) : timer();
    };
    manager_.instance = ++instance_;
    node_.instance = ++instance_;
  }
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;
  ~Sequence() {
    for (const auto& side : manager_sides_) side->die();
    for (const auto& side : node_sides_) side->die();
  }

  void run(Totals& totals) {
    const std::size_t steps = 5 + pick(40);
    for (std::size_t i = 0; i < steps; ++i) {
      step();
      if (!one_in(3)) world_.scheduler.advance(std::chrono::microseconds(pick(one_in(4) ? 3'000'000 : 20'000)));
    }
    end();
    ++totals.sequences;
    totals.values += world_.model.count(Said::value);
    totals.not_run += world_.model.count(Said::not_run);
    totals.may_have_run += world_.model.count(Said::may_have_run);
    for (const auto& side : manager_sides_) {
      totals.resent += side->resent;
      totals.nodes_lost += side->nodes_lost;
    }
  }

 private:
  // What comes while it is stopped waits; then messages are before timers, as in a turn of the loop.
  struct Process {
    std::uint64_t instance = 0;  // 0: it is not there
    bool stopped = false;
    std::vector<std::function<void()>> messages;
    std::vector<std::function<void()>> timers;
  };

  std::size_t pick(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }
  bool one_in(std::size_t n) { return pick(n) == 0; }

  // Of a process, the side to one process of the other kind.
  template <class Side>
  Side& side_in(std::vector<std::shared_ptr<Side>>& sides, std::uint64_t self, std::uint64_t peer) {
    for (const auto& side : sides) {
      if (side->self() == self && side->peer() == peer) return *side;
    }
    sides.push_back(std::make_shared<Side>(world_, self, peer));
    return *sides.back();
  }
  SimManagerSide& manager_side() { return side_in(manager_sides_, manager_.instance, node_.instance); }

  bool publish(bool from_manager, std::span<const std::byte> message) {
    if (!server_up_) return false;
    const leasepool::detail::remote::MessageReader reader(message);
    const std::uint64_t from = reader.from();
    const std::uint64_t to = reader.to();
    if (from_manager && node_.instance != to) {
      later(100us, [this, from, to] {
        if (from == manager_.instance) side_in(manager_sides_, from, to).nobody_listens();
      });
    }
    const std::size_t copies = loses_ && one_in(8) ? 0 : repeats_ && one_in(8) ? 2 : 1;
    for (std::size_t i = 0; i < copies; ++i) {
      const auto delay = reorders_ && one_in(3) ? std::chrono::microseconds(100 + pick(20'000)) : 100us;
      std::vector<std::byte> copy(message.begin(), message.end());
      later(delay, [this, from_manager, from, to, copy = std::move(copy), epoch = server_epoch_] {
        if (epoch == server_epoch_ && !cut_off_) arrive(from_manager, from, to, copy);
      });
    }
    return true;
  }
  void later(Duration delay, std::function<void()> event) {
    world_.scheduler.call_at(world_.scheduler.now() + delay, std::move(event));
  }

  void arrive(bool at_node, std::uint64_t from, std::uint64_t to, const std::vector<std::byte>& message) {
    Process& process = at_node ? node_ : manager_;
    if (process.instance != to) return;
    if (process.stopped) {
      process.messages.emplace_back([=, this] { arrive(at_node, from, to, message); });
      return;
    }
    at_node ? side_in(node_sides_, to, from).receive(message) : side_in(manager_sides_, to, from).receive(message);
  }

  std::uint64_t any_lease() {
    const auto leases = manager_side().leases();
    return leases.empty() ? 0 : leases[pick(leases.size())];
  }

  void step() {
    if (manager_.stopped) return;
    switch (pick(gentle_ ? 9 : 14)) {
      case 0: return begin_lease();
      case 1: return manager_side().cancel(any_lease());
      case 2: return manager_side().extend(any_lease(), std::chrono::milliseconds(100 + pick(60'000)));
      case 3: return one_in(3) ? manager_side().end_lease(any_lease()) : void();
      case 4: return restart_server();
      case 9: return one_in(3) ? kill_node() : stop(node_);
      case 10: return one_in(4) ? kill_manager() : void();
      case 11: return cut_off();
      case 12: return one_in(4) && node_.instance != 0 && !node_.stopped ? node_side().stop_now() : void();
      case 13: return one_in(3) ? stop(manager_) : void();
      default: submit();
    }
  }
  SimNodeSide& node_side() { return side_in(node_sides_, node_.instance, manager_.instance); }

  // As a handshake has it that both have heard of.
  void begin_lease() {
    if (node_.instance == 0 || node_.stopped || manager_side().leases().size() >= 3) return;
    const auto hard_expiry = one_in(3) ? Duration(std::chrono::milliseconds(1 + pick(3000))) : Duration(24h);
    const std::uint64_t lease = ++last_lease_;
    node_side().begin_lease(lease, hard_expiry);
    manager_side().begin_lease(lease, hard_expiry);
  }
  void submit() {
    const std::uint64_t lease = any_lease();
    if (lease == 0) return begin_lease();
    for (std::size_t left = 1 + pick(one_in(4) ? 40 : 4); left > 0; --left) {
      manager_side().submit(lease, one_in(8) ? pick(3000) : pick(40));
    }
    manager_side().pump();
  }
  void restart_server() {
    if (!one_in(3) || !server_up_) return;
    ++server_epoch_;
    server_up_ = false;
    for_each_side([](auto& side) { side.disconnected(); });
    // From the last that was heard, 250 ms before at most, to what is heard first.
    later(std::chrono::milliseconds(pick(gentle_ ? 2000 : 20'000)), [this] {
      server_up_ = true;
      for_each_side([](auto& side) { side.pump(); });
    });
  }
  template <class Do>
  void for_each_side(Do what) {
    for (std::size_t i = 0; i < manager_sides_.size(); ++i) what(*manager_sides_[i]);
    for (std::size_t i = 0; i < node_sides_.size(); ++i) what(*node_sides_[i]);
  }
  void kill_node() {
    if (node_.instance == 0) return;
    for (const auto& side : node_sides_) side->die();
    node_ = {};
    later(std::chrono::milliseconds(pick(4000)), [this] { node_.instance = ++instance_; });
  }
  void kill_manager() {
    for (const auto& side : manager_sides_) side->die();
    manager_ = {};
    manager_.instance = ++instance_;
  }
  void stop(Process& process) {
    if (process.instance == 0 || process.stopped) return;
    process.stopped = true;
    later(std::chrono::milliseconds(pick(15'000)), [&process, instance = process.instance] {
      if (process.instance != instance) return;
      process.stopped = false;
      for (const auto& message : std::exchange(process.messages, {})) message();
      for (const auto& timer : std::exchange(process.timers, {})) timer();
    });
  }
  void cut_off() {
    if (!one_in(3) || cut_off_) return;
    cut_off_ = true;
    later(std::chrono::milliseconds(pick(15'000)), [this] { cut_off_ = false; });
  }

  bool has_open_calls() const {
    return std::ranges::any_of(manager_sides_, [](const auto& side) { return !side->dead && side->has_open_calls(); });
  }

  void end() {
    loses_ = false;
    world_.scheduler.advance(30s);
    SessionModel::require(server_up_ && !cut_off_ && !manager_.stopped && !node_.stopped, "what was broken is mended");
    for (const auto& side : manager_sides_) {
      for (const std::uint64_t lease : side->leases()) side->extend(lease, 24h);
      side->pump();
    }
    // Calls take 250 ms on average, two at a time.
    for (int minutes = 0; minutes < 10 && has_open_calls(); ++minutes) world_.scheduler.advance(60s);
    SessionModel::require(!has_open_calls(), "where nothing is in the way, every call ends by itself");
    for (std::size_t i = 0; i < manager_sides_.size(); ++i) {
      const auto side = manager_sides_[i];
      if (side->dead) continue;
      for (const std::uint64_t lease : side->leases()) side->end_lease(lease);
      side->pump();
    }
    world_.scheduler.advance(30s);
    world_.model.check_all_heard();
    for_each_side(
        [](auto& side) { SessionModel::require(side.dead || side.link.leases.empty(), "both forget what has ended"); });
    for (const auto& side : manager_sides_) {
      SessionModel::require(!gentle_ || side->nodes_lost == 0, "a server that comes back in time loses no node");
    }
    world_.scheduler.advance(1h);  // what was still running ends
    SessionModel::require(world_.scheduler.nothing_comes(), "then no timer is left");
  }

  std::mt19937_64 random_;
  SessionWorld world_;
  Process manager_;
  Process node_;
  std::vector<std::shared_ptr<SimManagerSide>> manager_sides_;
  std::vector<std::shared_ptr<SimNodeSide>> node_sides_;
  std::uint64_t instance_ = 0;
  std::uint64_t last_lease_ = 0;
  std::uint64_t server_epoch_ = 0;
  bool server_up_ = true;
  bool cut_off_ = false;
  bool gentle_ = false;
  bool loses_ = false;
  bool repeats_ = false;
  bool reorders_ = false;
};

}  // namespace session_sim

TEST_CASE("whatever happens to a manager, a node and their server, the model holds", "[model][remote]") {
  session_sim::Totals totals;
  leasepool::test::run_sequences([&](std::uint64_t seed) { session_sim::Sequence(seed).run(totals); });
  CAPTURE(totals.sequences, totals.values, totals.not_run, totals.may_have_run, totals.resent, totals.nodes_lost);
  // Else it has not looked at what it is about.
  const std::uint64_t enough = totals.sequences / 10;
  CHECK(
      (totals.sequences < 1000 || (totals.values > enough && totals.not_run > enough && totals.may_have_run > enough &&
                                   totals.resent > enough && totals.nodes_lost > enough)));
  if (std::getenv("LEASEPOOL_SIM_TOTALS") != nullptr) {
    std::cerr << totals.sequences << " sequences: " << totals.values << " values, " << totals.not_run
              << " calls that have not run, " << totals.may_have_run << " that may have, " << totals.resent
              << " items sent again, " << totals.nodes_lost << " nodes lost\n";
  }
}
