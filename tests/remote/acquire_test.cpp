// How a manager gets a pool of a node: whom it asks, and what a node offers to whom.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <random>
#include <vector>

#include "catch.hpp"
#include "remote/offers.hpp"
#include "remote/wants.hpp"

namespace remote_acquire {

using namespace std::chrono_literals;
using leasepool::TimePoint;
using namespace leasepool::detail::remote;

constexpr TimePoint kNow{1h};

// What acquires cost where some of the nodes have a pool: messages that are delivered, and time until a grant.
struct Cost {
  std::size_t messages = 0;
  int round_trips = 0;
  bool has_lease = false;
};

Cost acquire(std::mt19937_64& random, const std::vector<std::uint64_t>& nodes, double free_part) {
  const auto draw = [&](std::uint64_t below) {
    return std::uniform_int_distribution<std::uint64_t>(0, below - 1)(random);
  };
  std::vector<bool> free(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) free[i] = std::bernoulli_distribution(free_part)(random);
  Wants wants(draw);
  wants.set_nodes(nodes.size());
  wants.want(1, kNow);
  Cost cost;
  for (TimePoint now = kNow; now < kNow + 1s && !cost.has_lease; now += Wants::kPause) {
    for (const Ask& ask : wants.due(now)) {
      cost.round_trips += 1;
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (bucket_of(nodes[i], ask.level) != ask.bucket) continue;
        ++cost.messages;  // the want
        if (!free[i]) continue;
        ++cost.messages;  // the offer
        ++cost.messages;  // take or decline
        cost.has_lease = wants.take(1, nodes[i], 1, now) || cost.has_lease;
        if (!cost.has_lease) continue;
      }
    }
  }
  if (!cost.has_lease) return cost;
  ++cost.messages;  // the grant
  ++cost.round_trips;
  for (const Ask& ask : wants.unwant(1).asked) {
    cost.messages += static_cast<std::size_t>(
        std::ranges::count_if(nodes, [&](std::uint64_t node) { return bucket_of(node, ask.level) == ask.bucket; }));
  }
  return cost;
}

}  // namespace remote_acquire

TEST_CASE("N1: a pool goes to the oldest want, is held for it for a while, and is taken once", "[remote]") {
  using namespace remote_acquire;
  Offers offers;
  const Offers::Want young{.manager = 1, .id = 5};
  const Offers::Want old{.manager = 2, .id = 3};
  offers.wanted(young, {.age = 1s, .lasts = 1s}, kNow);
  offers.wanted(old, {.age = 9s, .lasts = 1s}, kNow);
  CHECK_FALSE(offers.next_offer(0, kNow));
  const auto first = offers.next_offer(1, kNow);
  REQUIRE(first);
  CHECK(first->want == old);
  CHECK(offers.on_offer() == 1);
  offers.wanted(old, {.age = 9s, .lasts = 1s}, kNow);  // repeated while the offer stands
  CHECK(offers.wants() == 1);
  CHECK_FALSE(offers.taken({.want = young, .id = first->id}));
  CHECK(offers.taken(*first));
  CHECK_FALSE(offers.taken(*first));
  const auto second = offers.next_offer(1, kNow);
  REQUIRE(second);
  CHECK(offers.next_expiry() == kNow + Offers::kHeldFor);
  offers.expire(kNow + Offers::kHeldFor);
  CHECK(offers.on_offer() == 0);
  CHECK_FALSE(offers.taken(*second));
}

TEST_CASE("N8: a node keeps no more wants than it can, and none that is not repeated", "[remote]") {
  using namespace remote_acquire;
  Offers offers;
  for (std::uint64_t id = 0; id < 2 * Offers::kMaxWants; ++id)
    offers.wanted({.manager = 1, .id = id}, {.lasts = 1h}, kNow);
  CHECK(offers.wants() == Offers::kMaxWants);
  offers.wanted({.manager = 1, .id = 7}, {.lasts = 1h}, kNow + 10s);
  offers.expire(kNow + Offers::kMostLasting);
  CHECK(offers.wants() == 1);
  offers.unwanted({.manager = 1, .id = 7});
  CHECK(offers.wants() == 0);
}

TEST_CASE("N1: a manager takes one offer, and asks others when that does not stand", "[remote]") {
  using namespace remote_acquire;
  Wants wants([](std::uint64_t) { return std::uint64_t{0}; });
  wants.set_nodes(2);
  wants.want(1, kNow);
  const auto asked = wants.due(kNow);
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].level == 0);
  CHECK(wants.due(kNow).empty());
  CHECK(wants.take(1, 11, 1, kNow));
  CHECK_FALSE(wants.take(1, 12, 7, kNow));
  CHECK_FALSE(wants.granted(1, 12));
  wants.refused(1, 12, 1, kNow);  // was not told to
  wants.refused(1, 11, 2, kNow);  // of another offer
  CHECK(wants.due(kNow).empty());
  wants.refused(1, 11, 1, kNow);
  CHECK(wants.due(kNow).size() == 1);
  CHECK(wants.take(1, 12, 7, kNow));
  CHECK(wants.overdue(kNow + Wants::kTakeTimeout) == std::vector<std::uint64_t>{1});
  CHECK(wants.unwant(1).taken_from == 12);
  CHECK_FALSE(wants.granted(1, 12));
}

TEST_CASE("N1: at 1,000 nodes an acquire costs a few messages, not one to each", "[remote]") {
  using namespace remote_acquire;
  std::mt19937_64 random(17);
  constexpr int kAcquires = 1000;
  for (const double free_part : {1.0, 0.5, 0.2, 0.1}) {
    std::size_t sum = 0;
    std::size_t most = 0;
    int trips = 0;
    int without = 0;
    std::vector<std::size_t> costs;
    for (int i = 0; i < kAcquires; ++i) {
      std::vector<std::uint64_t> nodes(1000);
      for (std::uint64_t& node : nodes) node = random();
      const Cost cost = acquire(random, nodes, free_part);
      costs.push_back(cost.messages);
      sum += cost.messages;
      most = std::max(most, cost.messages);
      trips += cost.has_lease ? cost.round_trips : 0;
      without += cost.has_lease ? 0 : 1;
    }
    std::ranges::sort(costs);
    if (std::getenv("LEASEPOOL_SIM_TOTALS") != nullptr) {
      std::cerr << "free: " << free_part << "; messages: mean " << static_cast<double>(sum) / kAcquires << ", p99 "
                << costs[kAcquires * 99 / 100] << ", most " << most << "; round trips "
                << static_cast<double>(trips) / std::max(1, kAcquires - without) << "; not at once " << without << "\n";
    }
    CHECK(sum / kAcquires <= 16);
    CHECK(costs[kAcquires * 99 / 100] <= (free_part == 1.0 ? 32 : 48));
    if (free_part >= 0.5) CHECK(trips <= 3 * kAcquires);
  }
}
