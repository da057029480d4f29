// Random sequences of remote managers and nodes on a bad network, with everything that can be lost: no call runs twice,
// what an error says of a call is true, every call has an outcome, and nothing is left over. LEASEPOOL_SIM_ONE_IN
// and LEASEPOOL_SIM_SEED as in the others.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "catch.hpp"
#include "sim/sim_sequences.hpp"
#include "sim_cluster.hpp"

namespace cluster_sim {

using namespace std::chrono_literals;
using namespace leasepool;
using test::SimCluster;

std::map<std::uint64_t, int> runs;  // of each call, by its argument
std::uint64_t noted(std::uint64_t call) {
  ++runs[call];
  return call + 1;
}

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

class Sequence {
 public:
  explicit Sequence(std::uint64_t seed) : random_(seed) {
    runs.clear();
    for (std::size_t i = 0; i <= pick(3); ++i) add_node();
    const bool are_many = one_in(2);
    for (std::size_t i = 0; i <= (are_many ? 1U : 0U); ++i) {
      // What one manager keeps ready another one does not get.
      ManagerOptions options = SimCluster::options(1 + pick(3), are_many ? 0 : pick(2), 1 + pick(3));
      options.lease_grace = one_in(2) ? 0ms : 500ms;
      managers_.push_back(cluster_.add_manager("m" + std::to_string(i), options));
    }
  }

  void run() {
    const std::size_t steps = 20 + pick(60);
    for (std::size_t i = 0; i < steps; ++i) {
      step();
      cluster_.advance(one_in(6) ? Duration(1s) * static_cast<int>(pick(8)) : 1ms * static_cast<int>(pick(50)));
      check_outcomes();
    }
    heal();
    cluster_.advance(1min);
    check_outcomes();
    for (const auto& [number, call] : calls_) require(call->got.has_value(), "every call has an outcome");
    // All that was held goes back, and whoever still waits is served.
    for (int i = 0; i < 40 && !wants_.empty(); ++i) {
      std::erase_if(wants_, [](const auto& want) { return want->got.has_value(); });  // its lease with it
      cluster_.advance(6s);
    }
    require(wants_.empty(), "nobody waits for ever where there are nodes");
    cluster_.advance(30s);
    std::size_t kept = 0;
    for (const auto& manager : managers_) {
      require(manager->manager->leased() == 0, "what was released is not leased");
      kept += manager->manager->total();
      manager->manager->check_consistency();
    }
    std::size_t lent = 0;
    for (const auto& node : nodes_) {
      lent += node->core->leases();
      require(node->core->leases() == node->manager->leased(), "a node has lent what its manager has");
    }
    require(lent <= kept, "nodes have lent only what managers keep");
  }

 private:
  std::size_t pick(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }
  bool one_in(std::size_t n) { return pick(n) == 0; }

  void add_node() {
    auto node = cluster_.add_node("node-" + std::to_string(pick(3) + 3 * nodes_.size()), 1 + pick(2), 1 + pick(3));
    node->world.next_run_time = [this] { return one_in(20) ? Duration(3s) : 1ms * static_cast<int>(pick(30)); };
    nodes_.push_back(std::move(node));
  }

  void step() {
    switch (pick(20)) {
      case 0: return cluster_.server.set_down();
      case 1:
      case 2: return cluster_.server.set_up();
      case 3: return nodes_[pick(nodes_.size())]->bus->set_cut_off(one_in(2));
      case 4: return nodes_[pick(nodes_.size())]->bus->set_held(one_in(2));
      case 5: return managers_[pick(managers_.size())]->bus->set_cut_off(one_in(3));
      case 6: return lose_messages();
      case 7: return replace_node();
      case 8: return crash();
      case 9:
      case 10:
      case 11: return acquire();
      case 12: return release();
      case 13: return extend();
      case 14: return stop_some();
      default: return submit();
    }
  }

  void acquire() {
    const auto& manager = managers_[pick(managers_.size())];
    const std::optional<Duration> timeout = one_in(2) ? std::optional<Duration>(2s) : std::nullopt;
    wants_.push_back(manager->acquire("owner", timeout, !one_in(4), one_in(2) ? Duration(1h) : Duration(5s)));
  }
  SimCluster::Manager::Want* some_lease() {
    std::vector<SimCluster::Manager::Want*> leases;
    for (const auto& want : wants_) {
      if (want->has_lease()) leases.push_back(want.get());
    }
    return leases.empty() ? nullptr : leases[pick(leases.size())];
  }
  void release() {
    if (auto* const want = some_lease()) want->lease().release();
  }
  void extend() {
    auto* const want = some_lease();
    if (want != nullptr && want->lease().active()) want->lease().extend(one_in(2) ? Duration(1h) : Duration(2s));
  }
  void submit() {
    auto* const want = some_lease();
    if (want == nullptr) return acquire();
    for (std::size_t i = 0; i <= pick(12); ++i) {
      const std::uint64_t number = ++last_call_;
      CallOptions options;
      if (one_in(5)) options.timeout = 1ms * static_cast<int>(1 + pick(40));
      if (one_in(5)) options.queue_timeout = 1ms * static_cast<int>(1 + pick(40));
      calls_[number] = one_in(4) ? SimCluster::call(want->lease().with(options).with(stop_.get_token()), noted, number)
                                 : SimCluster::call(want->lease().with(options), noted, number);
    }
  }
  void stop_some() {
    stop_.request_stop();
    stop_ = std::stop_source();
  }
  void crash() {
    const auto& pools = nodes_[pick(nodes_.size())]->world.pools;
    if (pools.empty()) return;
    if (const auto pool = pools[pick(pools.size())].lock()) pool->crash(one_in(2));
  }
  void replace_node() {
    if (!one_in(3)) return;
    nodes_.erase(nodes_.begin() + static_cast<std::ptrdiff_t>(pick(nodes_.size())));
    add_node();
  }
  void lose_messages() {
    const std::size_t lost = one_in(2) ? 0 : 3 + pick(20);  // one in so many
    const std::size_t late = one_in(2) ? 0 : 2 + pick(20);
    cluster_.server.fate = [this, lost, late](const auto&) {
      if (lost != 0 && one_in(lost)) return std::vector<Duration>{};
      const Duration delay = late != 0 && one_in(late) ? 1ms * static_cast<int>(pick(60)) : Duration(0);
      if (late != 0 && one_in(30)) return std::vector<Duration>{delay, 2 * delay};
      return std::vector<Duration>{delay};
    };
  }
  void heal() {
    cluster_.server.fate = nullptr;
    cluster_.server.set_up();
    for (const auto& node : nodes_) {
      node->bus->set_cut_off(false);
      node->bus->set_held(false);
    }
    for (const auto& manager : managers_) manager->bus->set_cut_off(false);
  }

  void check_outcomes() {
    for (const auto& [number, call] : calls_) {
      const int ran = runs.contains(number) ? runs.at(number) : 0;
      require(ran <= 1, "no call runs twice");
      if (!call->got) continue;
      if (*call->got) {
        require(ran == 1 && **call->got == number + 1, "a value is that of a call that ran");
      } else if (!call->may_have_run()) {
        require(ran == 0, "what is said not to have run has not, and does not later");
      }
    }
  }

  std::mt19937_64 random_;
  SimCluster cluster_;
  std::vector<std::unique_ptr<SimCluster::Node>> nodes_;
  std::vector<std::unique_ptr<SimCluster::Manager>> managers_;
  std::vector<std::shared_ptr<SimCluster::Manager::Want>> wants_;
  std::map<std::uint64_t, std::shared_ptr<SimCluster::Call>> calls_;
  std::stop_source stop_;
  std::uint64_t last_call_ = 0;
};

}  // namespace cluster_sim

LEASEPOOL_REGISTER(cluster_sim::noted);

TEST_CASE("N2, N3, N9: whatever is lost, no call runs twice, and errors are true", "[remote][N2][N3][N9]") {
  leasepool::test::run_sequences([](std::uint64_t seed) { cluster_sim::Sequence(seed).run(); }, 5000);
}
