// A manager and nodes that are not built alike: of another build, of another format of arguments, of another version of
// the protocol. The test plays a node that offers all the same.
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "remote/acquire_bodies.hpp"
#include "remote/frame.hpp"
#include "remote/subjects.hpp"
#include "shared/registry.hpp"
#include "sim_cluster.hpp"
#include "support/skip.hpp"

namespace remote_match {

using namespace std::chrono_literals;
using namespace leasepool;
using detail::remote::FrameType;
using detail::remote::GrantBody;
using test::SimCluster;

std::uint64_t registered(std::uint64_t value) { return value; }

// Offers a pool to whoever wants one, and says of itself what the test wants.
class PlayedNode final : public detail::nats::BusOwner {
 public:
  static constexpr std::uint64_t kInstance = 99;

  PlayedNode(SimCluster& cluster, GrantBody about) : about_(about), bus_(cluster.server.connect("played", *this)) {
    const auto hears = [this](const detail::nats::BusMessage& message) { take(message); };
    (void)bus_->subscribe("lp.v1.default.default.want.>", hears);
    (void)bus_->subscribe(detail::remote::node_subject("default", "played-1", kInstance), hears);
  }
  PlayedNode(const PlayedNode&) = delete;
  PlayedNode& operator=(const PlayedNode&) = delete;
  ~PlayedNode() { bus_->close(); }

  void bus_connected() override {}
  void bus_disconnected(const Error& /*reason*/) override {}
  void bus_has_room() override {}
  void bus_refused(const Error& /*reason*/) override {}

  int offered = 0;
  int granted = 0;
  int ended = 0;
  int declined = 0;

 private:
  void take(const detail::nats::BusMessage& message) {
    if (message.no_responders) return;
    detail::remote::MessageReader reader(message.payload);
    while (const auto frame = reader.next()) {
      detail::Bytes body;
      switch (frame->type) {
        case FrameType::want:
          ++offered;
          put(body, detail::remote::OfferBody{.node = "played-1"});
          say(message.reply, reader.from(),
              {.type = FrameType::offer, .lease = frame->lease, .number = 1, .body = body.view()});
          break;
        case FrameType::take:
          ++granted;
          put(body, about_);
          say(message.reply, reader.from(), {.type = FrameType::grant, .lease = frame->lease, .body = body.view()});
          break;
        case FrameType::end: ++ended; break;
        case FrameType::decline: ++declined; break;
        default: break;
      }
    }
  }
  void say(std::string_view to, std::uint64_t manager, const detail::remote::Frame& frame) const {
    detail::remote::MessageWriter writer(kInstance, manager);
    writer.add(frame);
    CHECK(bus_->publish(to, writer.bytes()) == detail::nats::Published::taken);
  }

  GrantBody about_;
  std::shared_ptr<detail::nats::MemoryBus> bus_;
};

ManagerOptions matching_builds() {
  ManagerOptions options = SimCluster::options();
  options.remote.match = RemoteMatch::build;
  return options;
}

// A pool of a node that says so of itself is not taken, though it is the only one at first; nor is another one of it.
// Returns what the manager logged of it.
std::string refused(const GrantBody& about, const ManagerOptions& options) {
  SimCluster cluster;
  PlayedNode played(cluster, about);
  const auto manager = cluster.add_manager("m", options);
  const auto want = manager->acquire("tester");
  cluster.run();
  CHECK_FALSE(want->got.has_value());
  CHECK(played.granted == 1);
  CHECK(played.ended >= 1);
  CHECK(played.offered >= 2);
  CHECK(played.declined >= 1);
  cluster.advance(30s);
  CHECK(played.granted == 1);
  CHECK_FALSE(want->got.has_value());
  // One that fits is.
  const auto node = cluster.add_node("one-1");
  cluster.advance(1s);
  CHECK(want->has_lease());
  CHECK(node->core->leases() == 1);
  REQUIRE(manager->log.size() == 1);
  return manager->log.front();
}

}  // namespace remote_match

LEASEPOOL_REGISTER(remote_match::registered);

TEST_CASE("N7: a manager that wants its own build takes no pool of a node with another one, or with none",
          "[remote][N7]") {
  using namespace remote_match;
  const std::uint64_t build = detail::functions_build();
  if (build == 0) return test::skip("the linker notes no build ids");
  CHECK_THAT(refused({.build = build + 1}, matching_builds()),
             ContainsSubstring("m: node played-1 lends nothing to this manager: it is build ") &&
                 ContainsSubstring(", and RemoteOptions::match = build takes only "));
  CHECK_THAT(refused({.build = 0}, matching_builds()), ContainsSubstring("it is build unknown, and "));
  // Else it does.
  SimCluster cluster;
  PlayedNode played(cluster, {.build = build + 1});
  const auto manager = cluster.add_manager("m");
  const auto want = manager->acquire("tester");
  cluster.run();
  CHECK(want->has_lease());
}

TEST_CASE("N7: a manager takes no pool of a node that encodes arguments otherwise", "[remote][N7]") {
  using namespace remote_match;
  constexpr std::uint64_t kOtherVersion = GrantBody::kFormat + (1U << 16U);
  constexpr std::uint64_t kOtherOrder = GrantBody::kFormat ^ 3U;
  for (const std::uint64_t format : {kOtherVersion, kOtherOrder, std::uint64_t{0}}) {
    CHECK_THAT(refused({.format = format}, SimCluster::options()),
               ContainsSubstring("m: node played-1 lends nothing to this manager: it encodes arguments otherwise"));
  }
}

TEST_CASE("N8: messages of another version of the protocol are dropped and counted by both ends", "[remote][N8]") {
  using namespace remote_match;
  SimCluster cluster;
  const auto node = cluster.add_node("one-1");
  const auto manager = cluster.add_manager("m");
  const auto want = manager->acquire("tester");
  cluster.run();
  REQUIRE(want->has_lease());
  PlayedNode stranger(cluster, {});
  const auto bus = cluster.server.connect("stranger", stranger);
  cluster.run();
  const std::uint64_t refused_by_node = node->core->refused_messages();
  const std::uint64_t refused_by_manager = manager->client->refused_messages();
  const auto say = [&](const std::string& subject, std::uint64_t to) {
    detail::remote::MessageWriter writer(PlayedNode::kInstance, to);
    writer.add({.type = FrameType::gone, .lease = 1});
    std::vector<std::byte> bytes(writer.bytes().begin(), writer.bytes().end());
    REQUIRE(bytes.at(6) == std::byte{'1'});
    bytes[6] = std::byte{'2'};  // of "LPnode1"
    CHECK(bus->publish(subject, bytes, detail::remote::manager_prefix("default", "", 5) + "x") ==
          detail::nats::Published::taken);
  };
  say(node->core->address(), node->core->instance());
  say(detail::remote::manager_prefix("default", "", manager->client->instance()) + "x", manager->client->instance());
  cluster.run();
  CHECK(node->core->refused_messages() == refused_by_node + 1);
  CHECK(manager->client->refused_messages() == refused_by_manager + 1);
  const auto call = SimCluster::call(want->lease(), registered, 5);
  cluster.advance(100ms);
  CHECK(call->has_value(5));
  bus->close();
}
