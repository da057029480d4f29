// A client of the same server, with the same rights, that means harm to a node and to its manager while calls go on.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <leasepool/leasepool.hpp>

#include "catch.hpp"
#include "cluster/functions.hpp"
#include "cluster/part_process.hpp"
#include "nats/bus_client.hpp"
#include "nats/nats_server.hpp"
#include "remote/acquire_bodies.hpp"
#include "remote/frame.hpp"
#include "remote/subjects.hpp"
#include "support/temporary_directory.hpp"

namespace cluster_hostile {

using namespace std::chrono_literals;
using namespace leasepool;
using detail::Bytes;
using detail::remote::FrameType;
using detail::remote::MessageWriter;
using test::run_until;

std::uint64_t counted(std::string file, std::uint64_t number) {
  cluster::append_line(file.c_str(), "run " + std::to_string(number));
  return number;
}

// Hears what a node and a manager say to each other, and says what it likes.
class Villain {
 public:
  struct Message {
    std::string subject;
    std::string reply;
    std::vector<std::byte> payload;
  };

  Villain(Loop& loop, const std::string& servers) : client_(loop, servers) {
    (void)client_.bus->subscribe("lp.>", [this](const detail::nats::BusMessage& message) {
      if (message.no_responders || heard_.size() >= kRemembered) return;
      heard_.push_back({.subject = std::string(message.subject),
                        .reply = std::string(message.reply),
                        .payload = {message.payload.begin(), message.payload.end()}});
    });
    REQUIRE(client_.connects());
  }

  void say(const std::string& subject, std::span<const std::byte> payload, const std::string& reply = {}) const {
    (void)client_.bus->publish(subject, payload, reply);
  }
  // What was heard since, as far as it is remembered.
  [[nodiscard]] std::vector<Message> take_heard() { return std::exchange(heard_, {}); }
  [[nodiscard]] bool is_connected() const { return client_.bus->state() == detail::nats::BusState::connected; }

 private:
  static constexpr std::size_t kRemembered = 300;
  test::BusClient client_;
  std::vector<Message> heard_;
};

// A node, its manager, and somebody who calls all the time.
class Stage {
 public:
  Stage() : node_(loop_, remote(), local()), manager_(loop_, of_manager(2)), villain_(loop_, server_.url()) {
    loop_.block_on([](Stage& self) -> Task<> {
      auto node_start = self.node_.start();
      co_await node_start;
      auto start = self.manager_.start();
      co_await start;
    }(*this));
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() = default;

  // Calls go on while the villain does as it likes, step by step.
  void while_calling(int steps, const std::function<void(int)>& step) {
    loop_.block_on([](Stage& self, int count, const std::function<void(int)>& act) -> Task<> {
      self.over_ = false;
      auto calling = self.call_on();
      auto acting = [](Stage& on, int all, const std::function<void(int)>& each) -> Task<> {
        for (int i = 0; i < all; ++i) {
          each(i);
          auto pause = on.loop_.sleep(1ms);
          co_await pause;
        }
        on.over_ = true;
      }(self, count, act);
      auto both = when_all(std::move(calling), std::move(acting));
      co_await both;
    }(*this, steps, step));
  }

  // The node lends both of its pools to one who comes new, and both work.
  void check_that_all_is_well() {
    loop_.block_on([](Stage& self) -> Task<> {
      LeasedExecutorManager fresh(self.loop_, self.of_manager(2));
      auto start = fresh.start();
      co_await start;
      std::vector<ExecutorLease> leases;
      for (int i = 0; i < 2; ++i) {
        auto acquire = fresh.acquire({.owner = "fresh", .timeout = 30s});
        leases.push_back(co_await acquire);
      }
      for (ExecutorLease& lease : leases) {
        auto call = lease.run(counted, self.runs(), std::uint64_t{0});
        const std::uint64_t value = co_await call;
        CHECK(value == 0);
      }
      leases.clear();
      auto stop = fresh.stop();
      co_await stop;
      auto own_stop = self.manager_.stop();
      co_await own_stop;
    }(*this));
    CHECK(run_until(loop_, [&] { return node_.stats().leases.empty(); }));
    CHECK(node_.stats().state == NodeState::running);
    CHECK(node_.stats().local.workers_crashed == 0);
  }
  void check_that_none_ran_twice() const {
    std::istringstream ran(cluster::text_of(runs()));
    std::set<std::string> seen;
    for (std::string line; std::getline(ran, line);) {
      if (!seen.insert(line).second) FAIL_CHECK(line << " a second time");
    }
  }

  [[nodiscard]] Loop& loop() { return loop_; }
  [[nodiscard]] Node& node() { return node_; }
  [[nodiscard]] LeasedExecutorManager& manager() { return manager_; }
  [[nodiscard]] Villain& villain() { return villain_; }
  [[nodiscard]] std::size_t ok() const { return ok_; }
  [[nodiscard]] std::size_t wrong() const { return wrong_; }

 private:
  [[nodiscard]] RemoteOptions remote() const {
    RemoteOptions options{.servers = server_.url()};
    options.heartbeat = 50ms;
    options.node_timeout = 1s;
    options.reconnect_grace = 500ms;
    return options;
  }
  static ManagerOptions local() {
    ManagerOptions options{.backend = ExecutorBackend::process, .max_pools = 2, .min_pools = 1, .workers_per_pool = 2};
    options.log = [](const LogRecord&) {};
    return options;
  }
  [[nodiscard]] ManagerOptions of_manager(std::size_t pools) const {
    ManagerOptions options{.backend = ExecutorBackend::remote, .max_pools = pools, .min_pools = 0};
    options.remote = remote();
    options.log = [](const LogRecord&) {};
    return options;
  }
  [[nodiscard]] std::string runs() const { return directory_ / "runs"; }

  // Each call is answered, rightly or with an error.
  Task<> call_on() {
    while (!over_) {
      try {
        auto acquire = manager_.acquire({.owner = "tester", .timeout = 1s});
        ExecutorLease lease = co_await acquire;
        for (int i = 0; i < 20 && !over_; ++i) {
          const std::uint64_t number = ++last_;
          auto call = lease.with({.timeout = 5s}).run(counted, runs(), number);
          const std::uint64_t value = co_await call;
          ++(value == number ? ok_ : wrong_);
        }
      } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): as harm does
      }
    }
  }

  test::TemporaryDirectory directory_;
  test::NatsServer server_;
  Loop loop_;
  Node node_;
  LeasedExecutorManager manager_;
  Villain villain_;
  std::uint64_t last_ = 0;
  std::size_t ok_ = 0;
  std::size_t wrong_ = 0;
  bool over_ = false;
};

std::vector<std::byte> random_bytes(std::minstd_rand& random, std::size_t most) {
  std::vector<std::byte> bytes(random() % most);
  std::ranges::generate(bytes, [&] { return static_cast<std::byte>(random()); });
  return bytes;
}

std::string inbox_in(const std::vector<Villain::Message>& messages) {
  for (const Villain::Message& message : messages) {
    if (message.subject.starts_with("lp.v1.default.c.")) return message.subject;
  }
  return {};
}

}  // namespace cluster_hostile

LEASEPOOL_REGISTER(cluster_hostile::counted);

TEST_CASE("N8, N2: junk, wrong subjects, and messages cut short or said again do no more than end leases",
          "[cluster][N8][N2]") {
  using namespace cluster_hostile;
  if (!test::has_nats_server()) return;
  Stage stage;
  std::minstd_rand random(17);
  stage.while_calling(200, [](int) {});
  const auto heard = stage.villain().take_heard();
  const std::string inbox = inbox_in(heard);
  REQUIRE_FALSE(inbox.empty());
  const std::string node = stage.node().stats().address;
  const std::size_t ok_before = stage.ok();
  CHECK(ok_before > 0);
  const std::vector<std::string> places = {node, inbox, detail::remote::who_subject("default", "default"),
                                           detail::remote::join_subject("default", "default"),
                                           detail::remote::want_subject("default", "default", 0, 0)};
  stage.while_calling(200, [&](int) {  // no frames at all
    for (const std::string& place : places) {
      for (int i = 0; i < 10; ++i)
        stage.villain().say(place, random_bytes(random, 300), random() % 2 == 0 ? inbox : "");
    }
  });
  CHECK(stage.ok() > ok_before);  // which nobody minds
  CHECK(stage.node().stats().refused_messages > 0);
  stage.while_calling(300, [&](int) {
    for (int i = 0; i < 10; ++i) {
      const Villain::Message& message = heard[random() % heard.size()];
      auto payload = message.payload;
      if (random() % 2 == 0 && !payload.empty()) payload.resize(random() % payload.size());
      const std::string& place = random() % 4 == 0 ? places[random() % places.size()] : message.subject;
      stage.villain().say(place, payload, message.reply);
    }
  });
  CHECK(stage.wrong() == 0);
  stage.check_that_none_ran_twice();
  CHECK(stage.villain().is_connected());
  stage.check_that_all_is_well();
}

TEST_CASE("N8: messages that were changed on their way crash and hang neither a node nor a manager", "[cluster][N8]") {
  using namespace cluster_hostile;
  if (!test::has_nats_server()) return;
  Stage stage;
  std::minstd_rand random(23);
  std::vector<Villain::Message> heard;
  stage.while_calling(1000, [&](int) {
    auto news = stage.villain().take_heard();
    if (!news.empty()) heard = std::move(news);
    for (int i = 0; i < 5 && !heard.empty(); ++i) {
      Villain::Message message = heard[random() % heard.size()];
      for (auto changes = 1 + random() % 3; changes > 0 && !message.payload.empty(); --changes) {
        // Seldom who says it to whom, which makes it for nobody.
        const std::size_t from = random() % 10 == 0 ? 0 : std::min<std::size_t>(24, message.payload.size() - 1);
        const std::size_t at = from + random() % (message.payload.size() - from);
        message.payload[at] = static_cast<std::byte>(random() % 2 == 0 ? random() : random() % 4);
      }
      stage.villain().say(message.subject, message.payload, message.reply);
    }
  });
  CHECK(stage.villain().is_connected());
  stage.check_that_all_is_well();
}

TEST_CASE("N8: a flood of nodes that are none, and of managers that are none, has bounds", "[cluster][N8]") {
  using namespace cluster_hostile;
  if (!test::has_nats_server()) return;
  Stage stage;
  stage.while_calling(100, [](int) {});
  const std::string inbox = inbox_in(stage.villain().take_heard());
  REQUIRE_FALSE(inbox.empty());
  const std::size_t dot = inbox.rfind('.', inbox.rfind('.') - 1);
  const std::uint64_t manager = std::stoull(inbox.substr(dot + 1));
  std::uint64_t instance = 1000;
  stage.while_calling(120, [&](int) {
    for (int i = 0; i < 100; ++i) {
      ++instance;
      Bytes name;
      put(name, detail::remote::OfferBody{.node = "x" + std::to_string(instance)});
      MessageWriter joins(instance, 0);
      joins.add({.type = FrameType::join, .body = name.view()});
      stage.villain().say(detail::remote::join_subject("default", "default"), joins.bytes());
      MessageWriter offers(instance, manager);
      offers.add({.type = FrameType::offer, .lease = instance % 50, .number = instance, .body = name.view()});
      stage.villain().say(inbox, offers.bytes());
      Bytes want;
      put(want, detail::remote::WantBody{.lasts = 10s});
      MessageWriter wants(instance, 0);
      wants.add({.type = FrameType::want, .lease = instance, .body = want.view()});
      stage.villain().say(detail::remote::want_subject("default", "default", 0, 0), wants.bytes(),
                          "lp.v1.default.c.x." + std::to_string(instance) + ".1");
    }
  });
  const NodeStats of_node = stage.node().stats();
  CHECK(of_node.wants_heard > 1000);
  CHECK(of_node.managers <= 10'000);
  CHECK(of_node.wants <= 10'000);
  CHECK(stage.manager().stats().nodes.size() <= 10'000);
  // The manager was told of thousands, and finds the one that is; the node forgets within 15 s who wants nothing.
  const std::size_t ok_before = stage.ok();
  for (int i = 0; i < 30 && stage.ok() == ok_before; ++i) stage.while_calling(1000, [](int) {});
  CHECK(stage.ok() > ok_before);
  CHECK(stage.wrong() == 0);
  stage.check_that_all_is_well();
}
