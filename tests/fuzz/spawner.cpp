// A pool's end of the conversation with the fork server, which an input plays.
#include "processes/spawner.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "fuzz/input.hpp"
#include "fuzz/shared_loop.hpp"
#include "fuzz/targets.hpp"

namespace leasepool::fuzz {

namespace spawner_target {
namespace {

using detail::ControlMessage;
using detail::ControlType;
using detail::UniqueFd;

constexpr std::size_t kMaxDeeds = 24;

class Owner final : public detail::SpawnerOwner {
 public:
  void worker_spawned(std::uint64_t /*worker_id*/, detail::SpawnedProcess process) override {
    require(!is_lost && static_cast<bool>(process.pidfd), "a process comes with its pidfd");
  }
  void worker_not_spawned(std::uint64_t /*worker_id*/, std::string_view reason) override {
    require(!is_lost && !reason.empty(), "where there is none, there is why");
  }
  void worker_exited(std::uint64_t /*worker_id*/, int /*wait_status*/, const detail::ResourceUse& /*use*/) override {
    require(!is_lost, "nothing comes behind the end");
  }
  void fork_server_lost(const std::unordered_set<std::uint64_t>& unanswered) override {
    require(!std::exchange(is_lost, true), "a server is lost once");
    for (const std::uint64_t id : unanswered) require(asked.contains(id), "only what was asked for is unanswered");
  }

  std::set<std::uint64_t> asked;
  bool is_lost = false;
};

struct Stage {
  Stage() {
    auto [ours, theirs] = detail::make_socket_pair(SOCK_SEQPACKET);
    server = std::move(theirs);
    spawner->open(std::move(ours));
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() {
    spawner->detach();
    spawner.reset();
    require(turn_until(loop, [&] { return loop.engine().in_flight() == own_operations; }),
            "a detached spawner has nothing in flight in the end");
  }

  void ask() {
    const std::uint64_t id = owner.asked.size() + 1;
    owner.asked.insert(id);
    const auto some = [] { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); };
    spawner->spawn({.worker_id = id,
                    .channel = some(),
                    .status_page = some(),
                    .standard_output = some(),
                    .standard_error = some(),
                    .settings = {},
                    .name = "worker"});
  }
  void answer(Input& input) const {
    ControlMessage message;
    message.type = static_cast<ControlType>(input.number<std::uint8_t>() % 10);
    message.worker_id = input.number<std::uint8_t>();
    message.error = input.number<std::uint8_t>();
    const auto name = input.piece();
    if (!name.empty()) std::memcpy(message.name.data(), name.data(), std::min(name.size(), message.name.size()));
    if (message.worker_id % 2 == 0) return void(detail::send_control(server.get(), message));
    const UniqueFd pidfd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    (void)detail::send_control(server.get(), message, {&pidfd, 1});
  }
  void read() const {
    detail::ControlRecord record;
    while (detail::receive_control(server.get(), record) == detail::ReceiveState::received) {
    }
  }
  void act(Input& input) {
    const auto deed = input.number<std::uint8_t>();
    switch (deed % 6) {
      case 0: return owner.is_lost ? void() : ask();
      case 1: return answer(input);
      case 2: return spawner->kill(deed / 6U);
      case 3: return read();
      case 4: {
        const auto bytes = input.piece();
        if (!bytes.empty()) (void)::send(server.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        return;
      }
      default: return turn(loop);
    }
  }

  detail::LoopCore& loop = *shared_loop();
  std::size_t own_operations = loop.engine().in_flight();
  Owner owner;
  UniqueFd server;
  std::shared_ptr<detail::Spawner> spawner = std::make_shared<detail::Spawner>(loop, owner);
};

void run(std::span<const std::byte> bytes) {
  Input input(bytes);
  Stage stage;
  for (std::size_t deeds = 0; deeds < kMaxDeeds && !input.empty(); ++deeds) stage.act(input);
  stage.server.reset();
  require(turn_until(stage.loop, [&] { return stage.owner.is_lost; }), "the server's end is heard");
}

std::vector<detail::Bytes> make_seeds() {
  std::vector<detail::Bytes> seeds(2);
  for (detail::Bytes& seed : seeds) {
    const auto add = [&seed](std::initializer_list<int> numbers) {
      for (const int number : numbers) put_number(seed, static_cast<std::uint8_t>(number));
    };
    const auto say = [&](ControlType type, int worker, int error, std::string_view name) {
      add({1, static_cast<int>(type), worker, error});
      put_piece(seed, as_bytes(name));
    };
    add({0, 0, 3});
    say(ControlType::spawned, 1, 0, "");
    say(ControlType::spawn_failed, 2, 11, "fork");
    add({5, 8, 5});
    say(ControlType::exited, 1, 9, "");
    if (&seed == &seeds[1]) say(ControlType::exited, 1, 9, "");
    add({5, 0, 0, 5});
  }
  return seeds;
}

}  // namespace
}  // namespace spawner_target

constinit const Target kSpawner{
    .name = "spawner", .max_size = 2048, .run = spawner_target::run, .make_seeds = spawner_target::make_seeds};

}  // namespace leasepool::fuzz
