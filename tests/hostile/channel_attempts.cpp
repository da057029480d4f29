// What a worker is allowed to do, done to harm: its channel, its output, its time.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <leasepool/leasepool.hpp>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <vector>

#include "attempts.hpp"

namespace hostile::channel {

namespace {

// The worker's own: the only socket there is.
int find_channel() {
  for (int fd = 3; fd < 64; ++fd) {
    int type = 0;
    socklen_t length = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0) return fd;
  }
  return static_cast<int>(tried(-1, "getsockopt()"));
}

// Until the parent closes.
void send_all(const void* data, std::size_t size, std::size_t times) {
  const int channel = find_channel();
  for (std::size_t i = 0; i < times; ++i) {
    if (::send(channel, data, size, MSG_NOSIGNAL) < 0) break;
  }
}

[[noreturn]] void wait_forever() {
  for (;;) ::pause();
}

struct Header {
  std::array<char, 4> magic{'L', 'P', 'f', '1'};
  std::uint32_t type = 3;
  std::uint64_t length = 0;
  std::uint64_t call_id = 0;
  std::uint64_t function_id = 0;
};

}  // namespace

std::string send_garbage(const Targets& /*at*/) {
  const std::vector<char> garbage(1 << 20, 'x');
  send_all(garbage.data(), garbage.size(), 1);
  wait_forever();
}
std::string send_a_gigabyte(const Targets& /*at*/) {
  const std::vector<char> garbage(1 << 20, 'x');
  send_all(garbage.data(), garbage.size(), 1024);
  wait_forever();
}
std::string announce_too_much(const Targets& /*at*/) {
  Header header;
  header.length = std::uint64_t{1} << 40;
  send_all(&header, sizeof header, 1);
  wait_forever();
}
std::string answer_another_call(const Targets& /*at*/) {
  Header header;
  header.call_id = UINT64_MAX;
  send_all(&header, sizeof header, 1);
  wait_forever();
}
std::string close_channel(const Targets& /*at*/) {
  const int channel = find_channel();
  ::shutdown(channel, SHUT_RDWR);
  ::close(channel);
  wait_forever();
}
std::string return_a_gigabyte(const Targets& /*at*/) {
  std::string result;
  result.resize(std::size_t{1} << 30);
  return result;
}
std::string flood_output(const Targets& /*at*/) {
  const std::vector<char> lines(1 << 16, '\n');
  for (;;) {
    if (::write(STDOUT_FILENO, lines.data(), lines.size()) < 0) wait_forever();
  }
}
std::string ignore_everything(const Targets& /*at*/) {
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  wait_forever();
}
std::string stop_itself(const Targets& /*at*/) {
  tried(::kill(::getpid(), SIGSTOP), "kill()");
  wait_forever();
}

}  // namespace hostile::channel

LEASEPOOL_REGISTER(hostile::channel::send_garbage);
LEASEPOOL_REGISTER(hostile::channel::send_a_gigabyte);
LEASEPOOL_REGISTER(hostile::channel::announce_too_much);
LEASEPOOL_REGISTER(hostile::channel::answer_another_call);
LEASEPOOL_REGISTER(hostile::channel::close_channel);
LEASEPOOL_REGISTER(hostile::channel::return_a_gigabyte);
LEASEPOOL_REGISTER(hostile::channel::flood_output);
LEASEPOOL_REGISTER(hostile::channel::ignore_everything);
LEASEPOOL_REGISTER(hostile::channel::stop_itself);

namespace hostile {

std::vector<Attempt> channel_attempts() {
  using namespace channel;
  using enum Ending;
  return {
      {"write garbage on its channel", "broke the protocol", send_garbage, exposed, exposed, exposed},
      {"send 1 GiB on its channel", "broke the protocol", send_a_gigabyte, exposed, exposed, exposed},
      {"announce 1 TiB on its channel", "broke the protocol", announce_too_much, exposed, exposed, exposed},
      {"answer another call than its own", "broke the protocol", answer_another_call, exposed, exposed, exposed},
      {"close its channel and go on", "broke the protocol", close_channel, exposed, exposed, exposed},
      {"return 1 GiB", "return_a_gigabyte", return_a_gigabyte, too_large, too_large, too_large},
      {"flood its standard output", "flood_output", flood_output, too_late, too_late, too_late},
      {"block every signal and wait", "ignore_everything", ignore_everything, too_late, too_late, too_late},
      {"stop itself", "stop_itself", stop_itself, too_late, too_late, too_late},
  };
}

}  // namespace hostile
