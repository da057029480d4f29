// What a manager that means harm can do to a node: it costs others nothing, and the node's memory has bounds.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/registry.hpp"
#include "leasepool/node_stats.hpp"
#include "remote/acquire_bodies.hpp"
#include "remote/frame.hpp"
#include "remote/lease_bodies.hpp"
#include "remote/sim_node.hpp"
#include "remote/subjects.hpp"
#include "shared/registry.hpp"

namespace hostile_manager {

using namespace std::chrono_literals;
using namespace leasepool;
using namespace leasepool::detail::remote;
using detail::Bytes;
using test::PlayedManager;
using test::SimNode;

std::uint64_t obeys(std::uint64_t value) { return value; }

CallHead obeying() {
  const detail::FunctionId id = detail::function_id("hostile_manager::obeys");
  return {.function = id, .signature = detail::find_function_by_id(id)->signature.load()};
}

Bytes body_of(const auto& value) {
  Bytes body;
  put(body, value);
  return body;
}

// Says to the node what no honest manager does, on the lease of the played one.
struct Villain {
  explicit Villain(SimNode& stage_of_it) : stage(stage_of_it) {
    stage.start_and_lease();
    stage.tester.lease.reset();  // nothing honest is said of it any more
  }

  // So many calls from this number on, as few messages.
  void call(std::uint64_t first, std::size_t count) const {
    const Bytes head = body_of(obeying());
    MessageWriter message(PlayedManager::kInstance, stage.tester.node);
    for (std::size_t i = 0; i < count; ++i) {
      message.add({.type = FrameType::call, .lease = PlayedManager::kLease, .number = first + i, .body = head.view()});
    }
    publish(message.bytes());
  }
  void publish(std::span<const std::byte> message) const {
    CHECK(stage.tester_bus->publish(stage.tester.node_subject, message, "lp.v1.default.c.tester.77") ==
          detail::nats::Published::taken);
    stage.scheduler->run_until_idle();
  }
  [[nodiscard]] NodeLeaseStats lease() const { return stage.node->stats().leases.at(0); }

  SimNode& stage;
};

}  // namespace hostile_manager

LEASEPOOL_REGISTER(hostile_manager::obeys);

TEST_CASE("N8: a flood of wants and of strangers costs others nothing, and has bounds", "[remote][N8]") {
  using namespace hostile_manager;
  SimNode stage;
  stage.start_and_lease();
  const Bytes want = body_of(WantBody{.lasts = 10s});
  const std::string subject = want_subject("default", "default", 0, 0);
  for (std::uint64_t i = 0; i < 30'000; ++i) {
    MessageWriter message(1000 + i, 0);
    message.add({.type = FrameType::want, .lease = i, .body = want.view()});
    (void)stage.tester_bus->publish(subject, message.bytes(), "lp.v1.default.c.x." + std::to_string(i));
    MessageWriter unknown(1000 + i, stage.tester.node);
    unknown.add({.type = FrameType::marks, .lease = i});
    if (i % 3 == 0) {
      (void)stage.tester_bus->publish(stage.tester.node_subject, unknown.bytes(), "lp.v1.default.c.x");
    }
    if (i % 500 == 0) stage.scheduler->run_until_idle();
  }
  stage.scheduler->run_until_idle();
  const NodeStats flooded = stage.node->stats();
  CHECK(flooded.managers <= 10'000);
  CHECK(flooded.wants <= 10'000);
  CHECK(flooded.wants_heard == 30'001);
  CHECK(flooded.leases.size() == 1);
  (void)stage.tester.call(detail::function_id("hostile_manager::obeys"), 1);
  stage.advance(200ms);
  CHECK(stage.tester.outcomes.size() == 1);
  stage.advance(20s);
  CHECK(stage.node->stats().wants == 0);  // nothing is kept for longer than it was wanted
  CHECK(stage.node->stats().leases.size() == 1);
}

TEST_CASE("N8: calls beyond what a node takes are as if they were lost", "[remote][N8]") {
  using namespace hostile_manager;
  SimNode stage;
  stage.run_time = 10h;
  const Villain villain(stage);
  constexpr std::uint64_t kMany = 70'000;
  for (std::uint64_t first = 1; first <= kMany; first += 1000) villain.call(first, 1000);
  CHECK(villain.lease().calls == NodeLease::kMaxOpenCalls);
  CHECK_FALSE(villain.lease().closing);
  villain.call(NodeLease::kMaxOpenCalls + 1, 1);
  CHECK(villain.lease().calls == NodeLease::kMaxOpenCalls);
}

TEST_CASE("N8: a manager that never says that it has outcomes loses its lease before they fill the memory",
          "[remote][N8]") {
  using namespace hostile_manager;
  ManagerOptions options;
  options.max_payload = 1024;
  SimNode stage(options, {.window = std::size_t{64} << 10});
  const Villain villain(stage);
  stage.tester_bus->set_held(true);  // so that the played manager acknowledges nothing
  std::uint64_t called = 0;
  while (!villain.lease().closing && called < 100'000) {
    villain.call(called + 1, 100);
    called += 100;
    stage.scheduler->advance(50ms);
  }
  CHECK(villain.lease().closing);
  CHECK(called < 3000);  // of some 70 bytes each
  villain.call(called + 1, 100);
  CHECK(villain.lease().calls == 0);
  CHECK(stage.manager->leased() == 0);  // whose pool the next one gets
}

TEST_CASE("N8: extensions without end are no way to fill the memory either", "[remote][N8]") {
  using namespace hostile_manager;
  ManagerOptions options;
  options.max_payload = 1024;
  SimNode stage(options, {.window = std::size_t{64} << 10});
  const Villain villain(stage);
  stage.tester_bus->set_held(true);
  const Bytes extension = body_of(ExtendBody{.until_soft = 1h});
  std::uint64_t number = 0;
  for (int message = 0; message < 100 && !villain.lease().closing; ++message) {
    MessageWriter writer(PlayedManager::kInstance, stage.tester.node);
    for (int i = 0; i < 100; ++i) {
      writer.add(
          {.type = FrameType::extend, .lease = PlayedManager::kLease, .number = ++number, .body = extension.view()});
    }
    villain.publish(writer.bytes());
  }
  CHECK(villain.lease().closing);
}

TEST_CASE("N8: arguments beyond a lease's window close it", "[remote][N8]") {
  using namespace hostile_manager;
  SimNode stage({}, {.window = std::size_t{64} << 10});
  stage.run_time = 10h;
  const Villain villain(stage);
  std::vector<std::byte> large(std::size_t{60} << 10);
  Bytes body = body_of(obeying());
  body.append(large);
  for (std::uint64_t number = 1; number <= 4; ++number) {
    MessageWriter writer(PlayedManager::kInstance, stage.tester.node);
    writer.add({.type = FrameType::call, .lease = PlayedManager::kLease, .number = number, .body = body.view()});
    villain.publish(writer.bytes());
  }
  CHECK(stage.node->stats().refused_messages == 1);
  stage.advance(200ms);
  CHECK(std::ranges::count(stage.tester.types, FrameType::closed) > 0);
  CHECK(stage.manager->leased() == 0);
}

TEST_CASE("N8: random and damaged messages never do more than end a lease", "[remote][N8]") {
  using namespace hostile_manager;
  std::minstd_rand random(11);
  for (int round = 0; round < 20; ++round) {
    SimNode stage;
    const Villain villain(stage);
    std::uint64_t number = 1;
    for (int i = 0; i < 500; ++i) {
      MessageWriter writer(PlayedManager::kInstance, random() % 8 == 0 ? random() : stage.tester.node);
      for (auto frames = random() % 4; frames > 0; --frames) {
        const auto type = static_cast<FrameType>(1 + random() % kLastFrameType);
        Bytes body = type == FrameType::call && random() % 2 == 0 ? body_of(obeying()) : Bytes();
        for (auto bytes = random() % 80; bytes > 0; --bytes) {
          const auto byte = static_cast<std::byte>(random() % 4 == 0 ? random() : 0);
          body.append(&byte, 1);
        }
        writer.add({.type = type,
                    .lease = random() % 4 == 0 ? random() % 8 : PlayedManager::kLease,
                    .number = random() % 3 == 0 ? random() : number++,
                    .body = body.view()});
      }
      std::vector<std::byte> bytes(writer.bytes().begin(), writer.bytes().end());
      if (random() % 3 == 0) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
      if (random() % 10 == 0) bytes.resize(random() % bytes.size());
      const bool to_all = random() % 5 == 0;
      (void)stage.tester_bus->publish(
          to_all ? want_subject("default", "default", 0, 0) : stage.tester.node_subject, bytes,
          random() % 10 == 0 ? "lp.v1.default.n.here.1" : "lp.v1.default.c.other." + std::to_string(random() % 3));
      if (random() % 5 == 0) stage.scheduler->advance(Duration(random() % 300'000'000));
      stage.scheduler->run_until_idle();
      stage.manager->check_consistency();
    }
    stage.scheduler->advance(1min);  // whoever is not heard has ended
    CHECK(stage.node->stats().leases.empty());
    CHECK(stage.manager->leased() == 0);
    CHECK(stage.node->stats().state == NodeState::running);
  }
}
