// Records between a program and the fork server: what each end receives, and what the server makes of it. No process is
// forked here, nor killed: that takes records which the target does not let through.
#include "shared/control_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "fuzz/input.hpp"
#include "fuzz/targets.hpp"
#include "worker/fork_server_connection.hpp"

namespace leasepool::fuzz {

namespace control_socket_target {
namespace {

using detail::ControlMessage;
using detail::ControlRecord;
using detail::ControlType;
using detail::ReceiveState;
using detail::UniqueFd;

constexpr std::size_t kMaxRecords = 16;
constexpr std::size_t kMaxSentFds = 8;  // three more than a record has room for

// Where the next descriptor will be: the same as before, if none was left open.
int lowest_free() {
  const UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return fd.get();
}

void send_record(int socket, std::span<const std::byte> bytes, std::size_t descriptors) {
  iovec part{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) std::byte room[CMSG_SPACE(sizeof(int) * kMaxSentFds)]{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (descriptors != 0) {
    header.msg_control = room;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors);
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * descriptors);
    for (std::size_t i = 0; i < descriptors; ++i) {
      std::memcpy(CMSG_DATA(rights) + i * sizeof socket, &socket, sizeof socket);
    }
  }
  (void)::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// As any bytes, but for what would have a process forked, or one of this machine's killed.
std::vector<std::byte> harmless(std::span<const std::byte> bytes, std::size_t& descriptors) {
  std::vector<std::byte> made(bytes.begin(), bytes.end());
  ControlMessage message;
  if (made.size() < sizeof message) return made;
  std::memcpy(static_cast<void*>(&message), made.data(), sizeof message);
  if (message.type == ControlType::spawn) descriptors = std::min<std::size_t>(descriptors, 3);
  constexpr pid_t kAboveAllPids = pid_t{1} << 30;
  message.pid = (message.pid & (kAboveAllPids - 1)) | kAboveAllPids;
  std::memcpy(made.data() + offsetof(ControlMessage, pid), &message.pid, sizeof message.pid);
  return made;
}

void receive(int socket, std::span<const std::byte> sent, std::size_t descriptors) {
  ControlType type{};
  const ReceiveState peeked = detail::peek_control(socket, type);
  require((peeked == ReceiveState::received) == (sent.size() >= sizeof type), "a type is peeked at where there is one");
  ControlRecord record;
  const ReceiveState state = detail::receive_control(socket, record);
  const bool is_whole = sent.size() == sizeof(ControlMessage);
  require(state == (is_whole ? ReceiveState::received : ReceiveState::closed), "a record has one size");
  require(record.fds.size() == (is_whole && descriptors <= detail::ControlFds::kMax ? descriptors : 0),
          "a record has the descriptors that it was sent with, or none");
  require(record.message.name.back() == '\0', "a name has an end");
  if (!is_whole) return;
  require(std::to_underlying(record.message.type) == std::to_underlying(type), "what was peeked at is received");
  require(std::memcmp(&record.message.worker_id, sent.data() + offsetof(ControlMessage, worker_id),
                      sizeof record.message.worker_id) == 0,
          "a record is what was sent");
}

void run(std::span<const std::byte> bytes) {
  Input input(bytes);
  const int first_free = lowest_free();
  {
    auto [ours, theirs] = detail::make_socket_pair(SOCK_SEQPACKET);
    auto [of_server, of_program] = detail::make_socket_pair(SOCK_SEQPACKET);
    detail::ServerConnection connection;
    ControlRecord opening;
    opening.fds.push_back(std::move(of_server));
    for (int i = 0; i < 2; ++i) opening.fds.push_back(UniqueFd(::open("/", O_PATH | O_CLOEXEC)));
    const UniqueFd root(::open("/", O_PATH | O_CLOEXEC));
    connection.open(opening, root.get());
    detail::WorkerMaker maker;
    bool serves = true;
    for (std::size_t records = 0; records < kMaxRecords && !input.empty(); ++records) {
      std::size_t descriptors = input.number<std::uint8_t>() % (kMaxSentFds + 1);
      const std::vector<std::byte> record = harmless(input.piece(), descriptors);
      if (record.empty()) continue;  // which is the end of the connection
      send_record(theirs.get(), record, descriptors);
      receive(ours.get(), record, descriptors);
      send_record(of_program.get(), record, descriptors);
      if (!serves) continue;
      serves = connection.handle_requests(maker);
      require(serves == (record.size() == sizeof(ControlMessage)), "a connection ends by what is no record");
    }
    detail::ForkedWorkers orphans;
    connection.end(orphans);
    require(orphans.empty(), "nothing was forked");
  }
  require(lowest_free() == first_free, "no descriptor is left open");
}

std::vector<detail::Bytes> make_seeds() {
  std::vector<detail::Bytes> seeds;
  for (const bool of_server : {true, false}) {
    detail::Bytes seed;
    const auto add = [&seed](std::uint8_t descriptors, const ControlMessage& message) {
      put_number(seed, descriptors);
      std::array<std::byte, sizeof message> bytes{};  // a copy of it all would have what lies between its members
      const auto place = [&](const auto& member) {
        const auto at = reinterpret_cast<const std::byte*>(&member) - reinterpret_cast<const std::byte*>(&message);
        std::memcpy(bytes.data() + at, &member, sizeof member);
      };
      place(message.type);
      place(message.error);
      place(message.wait_status);
      place(message.pid);
      place(message.worker_id);
      place(message.name);
      put_piece(seed, bytes);
    };
    if (of_server) {
      add(0, {.type = ControlType::started});
      add(1, {.type = ControlType::spawned, .pid = 77, .worker_id = 1});
      add(0, {.type = ControlType::exited, .wait_status = 9, .worker_id = 1, .use = {.user_microseconds = 5}});
      ControlMessage failed{.type = ControlType::spawn_failed, .error = 11, .worker_id = 2};
      failed.set_name("fork");
      add(0, failed);
    } else {
      add(3, {.type = ControlType::connect});
      ControlMessage spawn{.type = ControlType::spawn, .worker_id = 1};
      spawn.set_name("worker-1");
      add(4, spawn);
      add(1, {.type = ControlType::adopt, .pid = 77, .worker_id = 3});
      add(0, {.type = ControlType::kill, .worker_id = 3});
    }
    seeds.push_back(std::move(seed));
  }
  return seeds;
}

}  // namespace
}  // namespace control_socket_target

constinit const Target kControlSocket{.name = "control_socket",
                                      .max_size = 4096,
                                      .run = control_socket_target::run,
                                      .make_seeds = control_socket_target::make_seeds};

}  // namespace leasepool::fuzz
