// A node and a manager, each with a hostile other end: offers and wants, leases and calls. When that one is gone,
// whoever is honest gets what it had.
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/hostile_peer.hpp"
#include "fuzz/targets.hpp"
#include "leasepool/function.hpp"
#include "remote/sim_cluster.hpp"
#include "remote/subjects.hpp"

namespace leasepool::fuzz {

namespace fuzz_node {

std::uint64_t twice(std::uint64_t value) { return 2 * value; }

}  // namespace fuzz_node

}  // namespace leasepool::fuzz

LEASEPOOL_REGISTER(leasepool::fuzz::fuzz_node::twice);

namespace leasepool::fuzz {

namespace node_session_target {
namespace {

using namespace std::chrono_literals;
using detail::Bytes;
using test::SimCluster;
using FrameType = HostilePeer::FrameType;

constexpr std::string_view kFunction = "leasepool::fuzz::fuzz_node::twice";
constexpr std::uint64_t kHostile = 1000;
constexpr std::size_t kMaxDeeds = 24;
// Short ones, as a clock goes by its timers.
constexpr auto kTimeout = 1s;         // of who is not heard
constexpr auto kUntilForgotten = 4s;  // longer than any end waits for that
ManagerOptions options() {
  ManagerOptions made = SimCluster::options();
  made.remote.node_timeout = kTimeout;
  made.remote.reconnect_grace = kTimeout;
  return made;
}

// What goes wrong on the way, or time that passes.
void disturb(SimCluster& cluster, HostilePeer& hostile, std::uint8_t deed, Input& input) {
  switch (deed % 4) {
    case 0: return cluster.advance(std::chrono::milliseconds(input.number<std::uint16_t>() % 2000));
    case 1: return hostile.bus->set_held(input.number<std::uint8_t>() % 2 == 0);
    case 2: return hostile.bus->disconnect("as the input says");
    default: return cluster.run();
  }
}

// An honest manager has the pool of an honest node.
void require_service(SimCluster& cluster, SimCluster::Manager& manager) {
  const auto want = manager.acquire("honest", kUntilForgotten);
  cluster.advance(kUntilForgotten);
  require(want->has_lease(), "who is honest gets a pool");
  const auto call = SimCluster::call(want->lease(), fuzz_node::twice, 21);
  cluster.advance(1s);
  require(call->has_value(42), "and its calls are run");
  want->got.reset();
  cluster.advance(1s);
}

void run_node(std::span<const std::byte> bytes) {
  Input input(bytes);
  SimCluster cluster;
  cluster.manager_timeout = kTimeout;
  const auto node = cluster.add_node("n");
  const std::string address = node->core->address();
  {
    HostilePeer hostile(cluster.server, kHostile, kFunction);
    cluster.run();
    hostile.other = node->core->instance();
    for (std::size_t deeds = 0; deeds < kMaxDeeds && !input.empty(); ++deeds) {
      const auto deed = input.number<std::uint8_t>();
      const std::string reply = detail::remote::manager_prefix("default", "x", kHostile) + "n";
      if (deed % 8 == 0) {
        hostile.say(input, detail::remote::want_subject("default", "default", 0, 0), reply);
      } else if (deed % 8 < 4) {
        hostile.say(input, address, deed % 8 == 3 ? "elsewhere" : reply);
      } else {
        disturb(cluster, hostile, deed, input);
      }
      cluster.run();
      require(node->core->leases() <= 1, "one pool is lent to one");
    }
  }
  cluster.advance(kUntilForgotten);
  require(node->core->leases() == 0, "who is not heard any more has no lease");
  const auto manager = cluster.add_manager("honest", options());
  require_service(cluster, *manager);
}

void run_manager(std::span<const std::byte> bytes) {
  Input input(bytes);
  SimCluster cluster;
  const auto manager = cluster.add_manager("m", options());
  std::vector<std::shared_ptr<SimCluster::Manager::Want>> wants;
  std::vector<std::shared_ptr<SimCluster::Call>> calls;
  {
    HostilePeer hostile(cluster.server, kHostile, kFunction);
    cluster.run();
    for (int i = 0; i < 2; ++i) wants.push_back(manager->acquire("m" + std::to_string(i), kUntilForgotten));
    cluster.run();
    for (std::size_t deeds = 0; deeds < kMaxDeeds && !input.empty(); ++deeds) {
      const auto deed = input.number<std::uint8_t>();
      if (deed % 8 == 0) {
        hostile.say(input, detail::remote::join_subject("default", "default"), "");
      } else if (deed % 8 < 4) {
        hostile.say(input, hostile.reply.empty() ? "nowhere" : hostile.reply, "");
      } else if (deed % 8 == 4 && deed / 8 % 2 == 0) {
        const auto& want = wants[deed / 16 % wants.size()];
        if (want->has_lease()) calls.push_back(SimCluster::call(want->lease(), fuzz_node::twice, deeds));
      } else {
        disturb(cluster, hostile, deed, input);
      }
      cluster.run();
    }
  }
  cluster.advance(kUntilForgotten);
  for (const auto& want : wants)
    require(want->got.has_value(), "who waits for a pool hears of it, or that there is none");
  for (const auto& call : calls) {
    require(call->got.has_value(), "each call ends");
    require(call->got->has_value() || call->got->error().code(), "a failure says of which kind it is");
  }
  wants.clear();
  cluster.advance(kUntilForgotten);
  const auto node = cluster.add_node("honest");
  require_service(cluster, *manager);
}

// One message of so many frames, in the seed of a node or of a manager.
void begin_message(Bytes& seed, std::uint8_t deed, std::uint8_t frames) {
  put_number(seed, deed);
  put_number(seed, static_cast<std::uint8_t>((frames - 1) * 16));
}

std::vector<Bytes> make_node_seeds() {
  std::vector<Bytes> seeds(2);
  for (Bytes& seed : seeds) {
    begin_message(seed, 0, 1);
    put_said(seed, {.type = FrameType::want, .lease = 5, .body = 8});
    begin_message(seed, 1, 1);
    put_said(seed, {.type = FrameType::take, .lease = 5, .body = 20});
    begin_message(seed, 1, 3);
    Bytes argument;
    put_number(argument, std::uint64_t{21});
    for (int i = 0; i < 2; ++i) put_said(seed, {.type = FrameType::call, .lease = 5}, argument.view());
    put_said(seed, {.type = FrameType::extend, .lease = 5, .body = 40});
  }
  begin_message(seeds[0], 1, 2);
  put_said(seeds[0], {.type = FrameType::cancel, .lease = 5, .body = 4});
  put_said(seeds[0], {.type = FrameType::marks, .lease = 5, .body = 8});
  put_number(seeds[0], std::uint8_t{4});
  put_number(seeds[0], std::uint16_t{300});
  begin_message(seeds[0], 1, 1);
  put_said(seeds[0], {.type = FrameType::end, .lease = 5});
  begin_message(seeds[1], 1, 2);
  put_said(seeds[1], {.type = FrameType::lend, .lease = 5, .body = 6});
  put_said(seeds[1], {.type = FrameType::outcome, .lease = 5, .body = 0});
  return seeds;
}

std::vector<Bytes> make_manager_seeds() {
  std::vector<Bytes> seeds(2);
  for (Bytes& seed : seeds) {
    begin_message(seed, 0, 1);
    put_said(seed, {.type = FrameType::join});
    begin_message(seed, 1, 1);
    put_said(seed, {.type = FrameType::offer, .number = 1});
    begin_message(seed, 1, 2);
    put_said(seed, {.type = FrameType::grant});
    put_said(seed, {.type = FrameType::marks});
    for (int i = 0; i < 2; ++i) put_number(seed, static_cast<std::uint8_t>(4 + 16 * i));
  }
  Bytes value;
  put_number(value, std::uint64_t{42});
  begin_message(seeds[0], 1, 2);
  put_said(seeds[0], {.type = FrameType::outcome}, value.view());
  put_said(seeds[0], {.type = FrameType::marks, .body = 16});
  put_number(seeds[0], std::uint8_t{12});
  put_number(seeds[0], std::uint16_t{300});
  begin_message(seeds[0], 1, 1);
  put_said(seeds[0], {.type = FrameType::closed, .body = 16});
  begin_message(seeds[1], 1, 3);
  put_said(seeds[1], {.type = FrameType::busy});
  put_said(seeds[1], {.type = FrameType::drain});
  put_said(seeds[1], {.type = FrameType::gone});
  return seeds;
}

}  // namespace
}  // namespace node_session_target

constinit const Target kNode{.name = "node",
                             .max_size = 4096,
                             .run = node_session_target::run_node,
                             .make_seeds = node_session_target::make_node_seeds};
constinit const Target kManager{.name = "manager",
                                .max_size = 4096,
                                .run = node_session_target::run_manager,
                                .make_seeds = node_session_target::make_manager_seeds};

}  // namespace leasepool::fuzz
