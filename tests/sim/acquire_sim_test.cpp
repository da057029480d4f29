// Random sequences of managers that want pools and nodes that have some, on a bad network: every pool is lent once,
// none is lost, and nobody waits while one is free. LEASEPOOL_SIM_ONE_IN and LEASEPOOL_SIM_SEED as in the others.
#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "remote/frame.hpp"
#include "remote/offers.hpp"
#include "remote/wants.hpp"
#include "session_model.hpp"
#include "sim_scheduler.hpp"
#include "sim_sequences.hpp"

namespace acquire_sim {

using namespace std::chrono_literals;
using namespace leasepool::detail::remote;
using leasepool::Duration;
using leasepool::TimePoint;
using leasepool::detail::TimerId;
using leasepool::test::SessionModel;
using leasepool::test::SimScheduler;

// What a frame says, without its bytes.
struct Word {
  FrameType type{};
  std::uint64_t id = 0;
  std::uint64_t offer = 0;
  Duration age{};
  Duration lasts{};
  bool answers = false;
};

struct World {
  SimScheduler scheduler;
  std::function<std::uint64_t(std::uint64_t)> pick;
  std::function<void(std::uint64_t from, std::uint64_t to, Word)> send;
  std::function<void(std::uint64_t from, const Ask&, Word)> ask;
};

// A node: grants what it offers, and frees what ends. A manager that says nothing for long has ended.
class SimNode {
 public:
  SimNode(World& world, std::uint64_t instance, std::size_t count) : self(instance), pools(count), world_(world) {}

  void receive(std::uint64_t from, const Word& word) {
    const Offers::Offer offer{.want = {.manager = from, .id = word.id}, .id = word.offer};
    switch (word.type) {
      case FrameType::want:
        if (const auto standing = offers.wanted(offer.want, {.age = word.age, .lasts = word.lasts}, now())) {
          world_.send(self, from, {.type = FrameType::offer, .id = word.id, .offer = standing->id});
        } else if (word.answers && free() == 0) {
          world_.send(self, from, {.type = FrameType::busy, .id = word.id});
        }
        break;
      case FrameType::unwant: offers.unwanted(offer.want); break;
      case FrameType::decline: offers.declined(offer); break;
      case FrameType::take: take(offer); break;
      case FrameType::end:
        leases.erase(offer.want);
        world_.send(self, from, {.type = FrameType::gone, .id = word.id});
        break;
      case FrameType::marks:
        if (!leases.contains(offer.want)) world_.send(self, from, {.type = FrameType::gone, .id = word.id});
        break;
      default: SessionModel::require(false, "a node hears what is for nodes");
    }
    for (auto& [lease, heard] : leases) heard = lease.manager == from ? now() : heard;
    pump();
  }
  void pump() {
    offers.expire(now());
    std::erase_if(leases, [&](const auto& lease) { return now() - lease.second >= 10s; });
    SessionModel::require(leases.size() + offers.on_offer() <= pools, "no more pools are lent than there are");
    while (const auto offer = offers.next_offer(free(), now())) {
      world_.send(self, offer->want.manager, {.type = FrameType::offer, .id = offer->want.id, .offer = offer->id});
    }
  }
  void beat() {
    for (const auto& [lease, heard] : leases)
      world_.send(self, lease.manager, {.type = FrameType::marks, .id = lease.id});
  }
  [[nodiscard]] std::size_t free() const { return pools - leases.size() - offers.on_offer(); }

  std::uint64_t self;
  std::size_t pools;
  Offers offers;
  std::map<Offers::Want, TimePoint> leases;  // and when its manager was heard last

 private:
  [[nodiscard]] TimePoint now() const { return world_.scheduler.now(); }
  void take(const Offers::Offer& offer) {
    if (offers.taken(offer)) leases.emplace(offer.want, now());
    const bool has = leases.contains(offer.want);  // also where it is said twice
    world_.send(self, offer.want.manager,
                {.type = has ? FrameType::grant : FrameType::refuse, .id = offer.want.id, .offer = offer.id});
  }

  World& world_;
};

// A manager that wants some pools. What it does not need any more it ends until it hears that it is gone.
class SimManager {
 public:
  SimManager(World& world, std::uint64_t instance) : self(instance), wants(world.pick), world_(world) {}

  void set_needed(std::size_t count) {
    needed = count;
    while (leases.size() + wanted.size() < needed) want();
    while (leases.size() + wanted.size() > needed && !wanted.empty()) unwant(*wanted.rbegin());
    while (leases.size() > needed) give_back(leases.begin()->first);
    pump();
  }
  void receive(std::uint64_t from, const Word& word) {
    switch (word.type) {
      case FrameType::busy: wants.answered(word.id); break;
      case FrameType::offer: {
        wants.answered(word.id);
        const bool takes = wants.take(word.id, from, word.offer, now());
        world_.send(self, from,
                    {.type = takes ? FrameType::take : FrameType::decline, .id = word.id, .offer = word.offer});
        break;
      }
      case FrameType::grant: granted(from, word.id); break;
      case FrameType::refuse: wants.refused(word.id, from, word.offer, now()); break;
      case FrameType::gone:
        ending.erase({word.id, from});
        if (const auto lease = leases.find(word.id); lease != leases.end() && lease->second.first == from) {
          leases.erase(lease);
          want();
        }
        break;
      case FrameType::marks:  // as a link does with a lease that is none
        if (const auto lease = leases.find(word.id);
            lease == leases.end() ? !wanted.contains(word.id) : lease->second.first != from) {
          world_.send(self, from, {.type = FrameType::end, .id = word.id});
        }
        break;
      default: SessionModel::require(false, "a manager hears what is for managers");
    }
    pump();
  }
  void node_lost(std::uint64_t node) {
    std::erase_if(ending, [&](const auto& lease) { return lease.second == node; });
    const std::size_t lost = std::erase_if(leases, [&](const auto& lease) { return lease.second.first == node; });
    for (std::size_t i = 0; i < lost; ++i) want();
    pump();
  }
  void beat() {
    for (const auto& [id, lease] : leases) world_.send(self, lease.first, {.type = FrameType::marks, .id = id});
    for (const auto& [id, node] : ending) world_.send(self, node, {.type = FrameType::end, .id = id});
    pump();
  }
  void pump() {
    for (const std::uint64_t id : wants.overdue(now())) {
      unwant(id);
      want();
    }
    for (const Ask& ask : wants.due(now())) {
      world_.ask(self, ask,
                 {.type = FrameType::want,
                  .id = ask.want,
                  .offer = 0,
                  .age = wants.age(ask.want, now()),
                  .lasts = ask.lasts,
                  .answers = ask.answers});
    }
  }

  std::uint64_t self;
  std::size_t needed = 0;
  Wants wants;
  std::set<std::uint64_t> wanted;
  std::map<std::uint64_t, std::pair<std::uint64_t, TimePoint>> leases;  // and on which node
  std::set<std::pair<std::uint64_t, std::uint64_t>> ending;

 private:
  [[nodiscard]] TimePoint now() const { return world_.scheduler.now(); }
  void want() {
    wants.want(++last_id_, now());
    wanted.insert(last_id_);
  }
  void tell(const std::vector<Ask>& asked) {
    for (const Ask& ask : asked) world_.ask(self, ask, {.type = FrameType::unwant, .id = ask.want});
  }
  void unwant(std::uint64_t id) {
    wanted.erase(id);
    const Wants::Over over = wants.unwant(id);
    tell(over.asked);
    if (over.taken_from != 0) end(id, over.taken_from);
  }
  void give_back(std::uint64_t id) { end(id, leases.extract(id).mapped().first); }
  void end(std::uint64_t id, std::uint64_t node) {
    ending.emplace(id, node);
    world_.send(self, node, {.type = FrameType::end, .id = id});
  }
  void granted(std::uint64_t from, std::uint64_t id) {
    const auto asked = wants.granted(id, from);
    if (!asked) return;  // it is had already, or was given up and is being ended
    SessionModel::require(!leases.contains(id), "a lease is granted once");
    wanted.erase(id);
    leases.emplace(id, std::pair(from, now()));
    tell(*asked);
  }

  World& world_;
  std::uint64_t last_id_ = 0;
};

class Sequence {
 public:
  explicit Sequence(std::uint64_t seed) : random_(seed) {
    loses_ = pick(2) == 0;
    repeats_ = pick(2) == 0;
    somebody_listens_ = pick(2) == 0;
    world_.pick = [this](std::uint64_t below) { return pick(below); };
    world_.send = [this](std::uint64_t from, std::uint64_t to, const Word& word) { send(from, to, word); };
    world_.ask = [this](std::uint64_t from, const Ask& ask, const Word& word) {
      bool listens = false;
      for (const auto& node : nodes_) {
        if (bucket_of(node->self, ask.level) != ask.bucket) continue;
        listens = true;
        send(from, node->self, word);
      }
      if (!listens && !somebody_listens_ && word.type == FrameType::want) tell_that_nobody_listens(from, ask);
    };
    for (std::uint64_t i = 1 + pick(6); i > 0; --i) start_node(1 + pick(3));
    for (std::uint64_t i = 1 + pick(3); i > 0; --i) start_manager();
    tick();
  }

  void run() {
    for (std::uint64_t steps = 5 + pick(30); steps > 0; --steps) {
      step();
      if (pick(3) != 0) world_.scheduler.advance(std::chrono::microseconds(pick(pick(4) == 0 ? 2'000'000 : 5000)));
    }
    loses_ = false;
    world_.scheduler.advance(30s);
    check_that_nobody_waits();
    for (const auto& manager : managers_) manager->set_needed(0);
    world_.scheduler.advance(30s);
    for (const auto& node : nodes_) {
      SessionModel::require(node->leases.empty() && node->offers.on_offer() == 0, "every pool comes back");
      SessionModel::require(node->offers.wants() == 0, "what nobody wants any more is forgotten");
    }
    for (const auto& manager : managers_) SessionModel::require(manager->ending.empty(), "what is over is heard of");
  }

 private:
  std::uint64_t pick(std::uint64_t below) {
    return std::uniform_int_distribution<std::uint64_t>(0, below - 1)(random_);
  }

  void start_node(std::size_t pools) { nodes_.push_back(std::make_unique<SimNode>(world_, random_(), pools)); }
  void start_manager() { managers_.push_back(std::make_unique<SimManager>(world_, random_())); }
  void tell_that_nobody_listens(std::uint64_t to, const Ask& ask) {
    world_.scheduler.call_at(world_.scheduler.now() + 100us, [this, to, ask] {
      for (const auto& manager : managers_) {
        if (manager->self != to) continue;
        manager->wants.nobody_listens(ask.level, ask.bucket, world_.scheduler.now());
        manager->pump();
      }
    });
  }
  void step() {
    SimManager& manager = *managers_[pick(managers_.size())];
    switch (pick(8)) {
      case 0: return restart_node();
      case 1: return pick(3) == 0 ? restart_manager() : void();
      default: return manager.set_needed(pick(4) == 0 ? 0 : manager.needed + pick(3));
    }
  }
  void restart_node() {
    const std::size_t at = pick(nodes_.size());
    const std::uint64_t gone = nodes_[at]->self;
    nodes_[at] = std::make_unique<SimNode>(world_, random_(), nodes_[at]->pools);
    world_.scheduler.call_at(world_.scheduler.now() + 2s, [this, gone] {
      for (const auto& manager : managers_) manager->node_lost(gone);
    });
  }
  void restart_manager() { managers_[pick(managers_.size())] = std::make_unique<SimManager>(world_, random_()); }

  void send(std::uint64_t from, std::uint64_t to, const Word& word) {
    const std::uint64_t copies = loses_ && pick(8) == 0 ? 0 : repeats_ && pick(8) == 0 ? 2 : 1;
    for (std::uint64_t i = 0; i < copies; ++i) {
      const auto delay = std::chrono::microseconds(pick(4) == 0 ? 1 + pick(50'000) : 100);
      world_.scheduler.call_at(world_.scheduler.now() + delay, [this, from, to, word] { arrive(from, to, word); });
    }
  }
  void arrive(std::uint64_t from, std::uint64_t to, const Word& word) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i]->self == to) nodes_[i]->receive(from, word);
    }
    for (std::size_t i = 0; i < managers_.size(); ++i) {
      if (managers_[i]->self == to) managers_[i]->receive(from, word);
    }
  }

  // All timers of both kinds, coarsely.
  void tick() {
    ++ticks_;
    for (const auto& node : nodes_) {
      node->pump();
      if (ticks_ % 10 == 0) node->beat();
    }
    for (const auto& manager : managers_) ticks_ % 10 == 0 ? manager->beat() : manager->pump();
    world_.scheduler.call_at(world_.scheduler.now() + 25ms, [this] { tick(); });
  }

  // A pool may be on offer for a moment, or be held for who does not need it: not for long.
  void check_that_nobody_waits() {
    const bool waits = std::ranges::any_of(managers_, [](const auto& manager) { return !manager->wanted.empty(); });
    const bool has_free = std::ranges::any_of(nodes_, [](const auto& node) { return node->free() > 0; });
    SessionModel::require(!waits || !has_free, "nobody waits while a pool is free");
    std::size_t lent = 0;
    std::size_t had = 0;
    for (const auto& node : nodes_) lent += node->leases.size();
    for (const auto& manager : managers_) had += manager->leases.size();
    SessionModel::require(lent == had, "what is lent is had by somebody");
  }

  std::mt19937_64 random_;
  World world_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::vector<std::unique_ptr<SimManager>> managers_;
  std::uint64_t ticks_ = 0;
  bool loses_ = false;
  bool repeats_ = false;
  bool somebody_listens_ = false;  // to everything: the server never says that nobody does
};

}  // namespace acquire_sim

TEST_CASE("whatever happens to managers that want pools and to nodes that have some, the model holds",
          "[model][remote]") {
  leasepool::test::run_sequences([](std::uint64_t seed) { acquire_sim::Sequence(seed).run(); });
}
