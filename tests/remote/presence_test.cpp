// Which nodes there are: what they tell, who hears it, and what a flood of questions or of answers costs.
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "catch.hpp"
#include "leasepool/node_info.hpp"
#include "nats/memory_bus.hpp"
#include "remote/census.hpp"
#include "remote/frame.hpp"
#include "remote/info_body.hpp"
#include "remote/lease_bodies.hpp"
#include "remote/presence.hpp"
#include "remote/subjects.hpp"
#include "sim/sim_scheduler.hpp"

namespace node_presence {

using namespace std::chrono_literals;
using namespace leasepool;
using namespace leasepool::detail;
using namespace leasepool::detail::remote;

struct Owner final : nats::BusOwner {
  void bus_connected() override {}
  void bus_disconnected(const Error&) override {}
  void bus_has_room() override {}
  void bus_refused(const Error&) override {}
};

NodeInfo some_info() {
  NodeInfo info{.name = "web1-7",
                .instance = 99,
                .version = "0.1.0",
                .build = "ab12",
                .state = NodeState::draining,
                .up_for = 3h,
                .backend = ExecutorBackend::thread,
                .pools = 4,
                .pools_free = 1,
                .workers_per_pool = 8,
                .wants = 2,
                .catalogue = 0x1234,
                .functions_count = 2,
                .functions = {"a::first", "b::second"},
                .leases_count = 1,
                .leases = {{.owner = "thumb\x1b[31mnailer", .manager = "caller.5", .age = 7s}}};
  return info;
}

// A scheduler, a server, and one bus on it for a node or for whoever means harm.
struct Stage {
  Stage() {
    bus = server.connect("node", owner);
    scheduler->advance(1ms);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() { bus->close(); }

  void ask(Duration wait = 500ms, const RemoteOptions& remote = {.servers = "nats://memory"}) {
    auto census = std::make_shared<Census>(scheduler, remote, wait, 42, [this](Census&) { ++ended; });
    census->start([this](nats::BusOwner& asker) { return asker_bus = server.connect("asker", asker); },
                  [this](Result<std::vector<NodeInfo>> result) { found = std::move(result); });
  }
  void answer(const std::string& to, const Bytes& body, std::uint64_t instance = 42) const {
    MessageWriter writer(7, instance);
    writer.add({.type = FrameType::here, .body = body.view()});
    (void)bus->publish(to, writer.bytes());
  }

  std::shared_ptr<test::SimScheduler> scheduler = std::make_shared<test::SimScheduler>();
  nats::MemoryServer server{*scheduler};
  Owner owner;
  std::shared_ptr<nats::MemoryBus> bus;
  std::shared_ptr<nats::MemoryBus> asker_bus;
  std::optional<Result<std::vector<NodeInfo>>> found;
  int ended = 0;
};

NodeInfo read(const Bytes& bytes) {
  ByteReader reader(bytes.view());
  return get_node_info(reader);
}

}  // namespace node_presence

TEST_CASE("what a node tells of itself crosses as it is", "[remote]") {
  using namespace node_presence;
  Bytes bytes;
  put(bytes, some_info());
  const NodeInfo read_back = read(bytes);
  CHECK(to_json(std::vector{read_back}) == to_json(std::vector{some_info()}));
  CHECK(read_back.instance == 99);
}

TEST_CASE("N8: a node that has too much to tell tells as much as one message takes", "[remote][N8]") {
  using namespace node_presence;
  NodeInfo info = some_info();
  info.functions.assign(10'000, std::string(1000, 'f'));
  info.functions_count = info.functions.size();
  info.leases.assign(70'000, info.leases.front());
  info.leases_count = info.leases.size();
  Bytes bytes;
  put(bytes, info);
  CHECK(bytes.size() <= kMaxInfo);
  const NodeInfo read_back = read(bytes);
  CHECK(read_back.functions_count == 10'000);
  CHECK(read_back.leases_count == 70'000);
  CHECK(read_back.leases.size() == kMaxInfoLeases);
  CHECK(read_back.functions.size() > 100);
  CHECK(read_back.functions.front() == std::string(kMaxName, 'f'));
}

TEST_CASE("N8: an answer that lies is refused before it takes memory", "[remote][N8]") {
  using namespace node_presence;
  Bytes good;
  put(good, some_info());
  std::minstd_rand random(5);
  int read_all = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::byte> bytes(good.view().begin(), good.view().end());
    for (int changes = 1 + static_cast<int>(random() % 4); changes > 0; --changes) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    try {
      ByteReader reader(bytes);
      const NodeInfo info = get_node_info(reader);
      REQUIRE(info.functions.size() + info.leases.size() <= bytes.size() / sizeof(std::uint64_t));
      ++read_all;
    } catch (const DecodeError&) {
      continue;
    }
  }
  CHECK(read_all > 0);
}

TEST_CASE("who asks hears of every node that answers in time, by name and once", "[remote]") {
  using namespace node_presence;
  Stage stage;
  NodeInfo info = some_info();
  const Presence one(*stage.scheduler, *stage.bus, "default", "default", 1, [&] {
    info.name = "b";
    return info;
  });
  const Presence two(*stage.scheduler, *stage.bus, "default", "default", 2, [&] {
    info.name = "a";
    return info;
  });
  const Presence elsewhere(*stage.scheduler, *stage.bus, "default", "gpu", 3, [&] { return info; });
  stage.server.fate = [](const nats::MemoryServer::Trip& trip) -> std::vector<Duration> {
    if (trip.to == "asker") return {10ms, 20ms};  // answers come twice
    return {10ms};
  };
  stage.ask();
  stage.scheduler->advance(400ms);
  CHECK_FALSE(stage.found.has_value());
  stage.scheduler->advance(200ms);
  REQUIRE(stage.found.has_value());
  REQUIRE(stage.found->has_value());
  REQUIRE((*stage.found)->size() == 2);
  CHECK((**stage.found)[0].name == "a");
  CHECK((**stage.found)[1].name == "b");
  CHECK((**stage.found)[0].answered_in == 20ms);
  CHECK(stage.ended == 1);
  CHECK(stage.asker_bus->state() == nats::BusState::closed);
}

TEST_CASE("who asks where nobody is, or no server, hears that soon", "[remote]") {
  using namespace node_presence;
  Stage stage;
  SECTION("no node") {
    stage.ask(1h);
    stage.scheduler->advance(1s);
    REQUIRE(stage.found.has_value());
    REQUIRE(stage.found->has_value());
    CHECK((*stage.found)->empty());
  }
  SECTION("no server") {
    stage.server.set_down();
    stage.ask();
    stage.scheduler->advance(6s);
    REQUIRE(stage.found.has_value());
    REQUIRE_FALSE(stage.found->has_value());
    CHECK(stage.found->error().code() == Errc::pool_broken);
    CHECK(stage.found->error().message() ==
          "no server has taken in who asks for nodes within node_timeout = 5 s: asker: no server answers");
  }
  CHECK(stage.ended == 1);
}

TEST_CASE("N8: a flood of questions gets few answers, and what is no question none", "[remote][N8]") {
  using namespace node_presence;
  Stage stage;
  int described = 0;
  Presence presence(*stage.scheduler, *stage.bus, "default", "default", 1, [&] {
    ++described;
    return some_info();
  });
  const auto ask = [&](const std::string& reply, FrameType type = FrameType::who, std::uint64_t to = 0) {
    MessageWriter question(5, to);
    question.add({.type = type});
    CHECK(stage.bus->publish("lp.v1.default.default.who", question.bytes(), reply) == nats::Published::taken);
  };
  ask("lp.v1.default.n.other");  // so that nodes would talk to nodes
  ask("lp.v1.default.c.x.1", FrameType::want);
  ask("lp.v1.default.c.x.1", FrameType::who, 9);
  CHECK(stage.bus->publish("lp.v1.default.default.who", std::as_bytes(std::span("who")), "lp.v1.default.c.x.1") ==
        nats::Published::taken);
  stage.scheduler->advance(10s);
  CHECK(described == 0);
  CHECK(presence.refused() == 4);

  for (int i = 0; i < 100'000; ++i) {
    ask("lp.v1.default.c.x.1");
    if (i % 1000 == 0) stage.scheduler->advance(10ms);
  }
  stage.scheduler->run_until_idle();
  CHECK(described == Presence::kBurst + 20);  // in a second
  CHECK(presence.refused() == 4 + 100'000U - static_cast<unsigned>(described));
}

TEST_CASE("N8: who asks takes no more answers than there is room for, and none that are not for him", "[remote][N8]") {
  using namespace node_presence;
  Stage stage;
  std::string asker;
  (void)stage.bus->subscribe("lp.v1.default.default.who",
                             [&](const nats::BusMessage& message) { asker = message.reply; });
  stage.ask(1h);
  stage.scheduler->advance(10ms);
  CHECK(asker == "lp.v1.default.c.-.42.who");
  NodeInfo info = some_info();
  for (std::size_t i = 0; i < Census::kMostNodes + 100; ++i) {
    info.instance = i + 1;
    Bytes body;
    put(body, info);
    stage.answer(asker, body, i % 100 == 0 ? 41 : 42);
    stage.scheduler->run_until_idle();
  }
  CHECK(stage.bus->publish(asker, std::as_bytes(std::span("here"))) == nats::Published::taken);
  stage.scheduler->advance(2h);
  REQUIRE(stage.found.has_value());
  REQUIRE(stage.found->has_value());
  CHECK((*stage.found)->size() == 9999);
}

TEST_CASE("nodes are shown as a table and as JSON, and what strangers wrote is harmless", "[remote]") {
  using namespace node_presence;
  CHECK(to_text(std::vector<NodeInfo>{}) == "no node has answered\n");
  CHECK(to_json(std::vector<NodeInfo>{}) == "[]");
  CHECK(to_text(std::vector{some_info()}) ==
        "node    state     free pools  workers   wants  functions  version  build  up for\n"
        "web1-7  draining  1/4         8 thread  2      2          0.1.0    ab12   10800 s\n"
        "web1-7 has lent 1:\n"
        "  \"thumb\\x1b[31mnailer\" of caller.5 for 7 s\n");
  CHECK(to_json(std::vector{some_info()}) ==
        R"([{"name":"web1-7","instance":"99","version":"0.1.0","build":"ab12","state":"draining","up_for":10800,)"
        R"("backend":"thread","pools":4,"pools_free":1,"workers_per_pool":8,"wants":2,"catalogue":"4660",)"
        R"("functions_count":2,"functions":["a::first","b::second"],"leases_count":1,)"
        R"("leases":[{"owner":"thumb\u001b[31mnailer","manager":"caller.5","age":7}],"answered_in":0}])");
}
