// A connection to the fork server by itself: what it answers to, and what becomes of its workers when it ends.
#include "processes/spawner.hpp"
#include "leasepool/detail/access.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "processes.hpp"
#include "shared/status_page.hpp"
#include "support/socket_pair.hpp"
#include "wire/frame.hpp"

using namespace leasepool;
using leasepool::detail::Frame;
using leasepool::detail::FrameDecoder;
using leasepool::detail::FrameType;
using leasepool::detail::SpawnedProcess;
using leasepool::detail::Spawner;
using leasepool::detail::UniqueFd;

namespace {

class Owner final : public detail::SpawnerOwner {
 public:
  void worker_spawned(std::uint64_t id, SpawnedProcess process) override { spawned.emplace(id, std::move(process)); }
  void worker_not_spawned(std::uint64_t id, std::string_view reason) override { not_spawned.emplace(id, reason); }
  void worker_exited(std::uint64_t id, int status, const detail::ResourceUse& /*use*/) override {
    exited.emplace(id, status);
  }
  void fork_server_lost(const std::unordered_set<std::uint64_t>& requests) override {
    ++lost;
    unanswered = requests;
  }

  std::map<std::uint64_t, SpawnedProcess> spawned;
  std::map<std::uint64_t, std::string> not_spawned;
  std::map<std::uint64_t, int> exited;
  int lost = 0;
  std::unordered_set<std::uint64_t> unanswered;
};

// What a worker prints into: not what has the number of a stream that this program may have closed, as a channel.
UniqueFd nowhere() { return UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC)); }

// A spawner, and this program's end of the workers' channels.
struct Connection {
  Connection() { spawner->open(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { spawner->detach(); }

  void spawn(std::uint64_t id) {
    test::SocketPair pair;
    auto [page, page_fd] = detail::StatusPage::create(false);
    channels.insert_or_assign(id, std::move(pair.ours));
    spawner->spawn({.worker_id = id,
                    .channel = std::move(pair.theirs),
                    .status_page = std::move(page_fd),
                    .standard_output = nowhere(),
                    .standard_error = nowhere(),
                    .settings = {.max_payload = 1000},
                    .name = "spawned"});
  }

  Loop loop;
  Owner owner;
  std::shared_ptr<Spawner> spawner = std::make_shared<Spawner>(*leasepool::detail::Access::core(loop), owner);
  std::map<std::uint64_t, UniqueFd> channels;
};

// Blocks until a worker has said something.
FrameType first_word(int channel) {
  FrameDecoder decoder(1000);
  const auto bytes = test::receive(channel, detail::kFrameHeaderSize);
  if (bytes.size() != detail::kFrameHeaderSize) return FrameType{};
  std::ranges::copy(bytes, decoder.space().begin());
  decoder.filled(bytes.size());
  return decoder.next()->type;
}

}  // namespace

TEST_CASE("a worker that is asked for comes up and says hello", "[spawner]") {
  Connection connection;
  connection.spawn(7);
  REQUIRE(test::run_until(connection.loop, [&] { return connection.owner.spawned.contains(7); }));
  const SpawnedProcess& worker = connection.owner.spawned.at(7);
  CHECK(worker.pidfd.get() >= 0);
  CHECK(first_word(connection.channels.at(7).get()) == FrameType::hello);
  CHECK(test::process_name(worker.pid) == "spawned");
  CHECK(connection.owner.not_spawned.empty());
}

TEST_CASE("each of many requests is answered", "[spawner]") {
  Connection connection;
  constexpr std::uint64_t kMany = 100;  // more than a socket holds at once
  for (std::uint64_t id = 1; id <= kMany; ++id) connection.spawn(id);
  CHECK(test::run_until(connection.loop, [&] { return connection.owner.spawned.size() == kMany; }));
  CHECK(connection.owner.not_spawned.empty());
  connection.channels.clear();  // they find nobody to work for
  CHECK(test::run_until(connection.loop, [&] { return connection.owner.exited.size() == kMany; }));
  for (const auto& [id, status] : connection.owner.exited) CHECK(WIFEXITED(status));
}

TEST_CASE("how a worker ended is reported", "[spawner]") {
  Connection connection;
  connection.spawn(1);
  connection.spawn(2);
  Owner& owner = connection.owner;
  REQUIRE(test::run_until(connection.loop, [&] { return owner.spawned.size() == 2; }));
  for (const auto& [id, channel] : connection.channels) REQUIRE(first_word(channel.get()) == FrameType::hello);
  connection.channels.erase(1);
  ::kill(owner.spawned.at(2).pid, SIGUSR1);
  REQUIRE(test::run_until(connection.loop, [&] { return owner.exited.size() == 2; }));
  CHECK((WIFEXITED(owner.exited.at(1)) && WEXITSTATUS(owner.exited.at(1)) == 0));
  CHECK((WIFSIGNALED(owner.exited.at(2)) && WTERMSIG(owner.exited.at(2)) == SIGUSR1));
}

TEST_CASE("workers are killed with their connection, and those of others live", "[spawner]") {
  Connection other;
  other.spawn(1);
  REQUIRE(test::run_until(other.loop, [&] { return other.owner.spawned.size() == 1; }));
  const test::ProcessHandle stays(other.owner.spawned.at(1).pid);
  std::vector<test::ProcessHandle> goes;
  std::map<std::uint64_t, UniqueFd> channels;  // kept open: it is not their end that kills
  {
    Connection connection;
    for (std::uint64_t id = 1; id <= 3; ++id) connection.spawn(id);
    REQUIRE(test::run_until(connection.loop, [&] { return connection.owner.spawned.size() == 3; }));
    for (const auto& [id, process] : connection.owner.spawned) goes.emplace_back(process.pid);
    channels = std::move(connection.channels);
  }
  CHECK(test::time_until_dead(goes, std::chrono::seconds(60)).has_value());
  CHECK_FALSE(stays.dead());
}

TEST_CASE("a connection that was detached says nothing more", "[spawner]") {
  Connection connection;
  connection.spawn(1);
  connection.spawner->detach();
  for (int i = 0; i < 10; ++i) test::turn(connection.loop);
  CHECK(connection.owner.spawned.empty());
  CHECK(connection.owner.not_spawned.empty());
  CHECK(connection.owner.lost == 0);
}

TEST_CASE("a server that is killed is lost once, and names what it had not answered", "[spawner][W6]") {
  Connection connection;
  Owner& owner = connection.owner;
  connection.spawn(1);
  REQUIRE(test::run_until(connection.loop, [&] { return owner.spawned.size() == 1; }));
  std::ifstream stat("/proc/" + std::to_string(owner.spawned.at(1).pid) + "/stat");
  std::string ignored;
  pid_t server = 0;
  stat >> ignored >> ignored >> ignored >> server;
  ::kill(server, SIGSTOP);
  REQUIRE(test::run_until(connection.loop, [&] { return test::process_state(server) == 'T'; }));
  connection.spawn(2);
  test::turn(connection.loop);
  ::kill(server, SIGKILL);
  REQUIRE(test::run_until(connection.loop, [&] { return owner.lost == 1; }));
  CHECK(owner.unanswered == std::unordered_set<std::uint64_t>{2});
  CHECK(owner.not_spawned.empty());
  CHECK(owner.exited.empty());

  // What is asked for in between goes to the next server.
  connection.spawn(3);
  connection.spawner->open();
  REQUIRE(test::run_until(connection.loop, [&] { return owner.spawned.contains(3); }));
  const SpawnedProcess& orphan = owner.spawned.at(1);
  connection.spawner->adopt(1, orphan.pid, orphan.pidfd.get(), {});
  const test::ProcessHandle adopted(orphan.pid);
  test::turn(connection.loop);
  CHECK_FALSE(adopted.dead());
  connection.spawner->detach();
  CHECK(adopted.wait(std::chrono::seconds(60)));
}

TEST_CASE("workers are killed by the server where this program may not", "[spawner]") {
  Connection connection;
  Owner& owner = connection.owner;
  for (std::uint64_t id = 1; id <= 3; ++id) connection.spawn(id);
  REQUIRE(test::run_until(connection.loop, [&] { return owner.spawned.size() == 3; }));
  connection.spawner->kill(2);
  connection.spawner->kill(4);  // which there is not
  REQUIRE(test::run_until(connection.loop, [&] { return owner.exited.size() == 1; }));
  CHECK((WIFSIGNALED(owner.exited.at(2)) && WTERMSIG(owner.exited.at(2)) == SIGKILL));
  for (const std::uint64_t id : {1U, 3U}) CHECK_FALSE(test::ProcessHandle(owner.spawned.at(id).pid).dead());
}
