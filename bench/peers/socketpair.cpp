// No library at all: 8 bytes there and back between two processes over a socketpair, both blocked in read(2) while they
// wait. What a process pool on sockets cannot go below.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

#include "scenario.hpp"

namespace {

class PingPong {
 public:
  PingPong() {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_) != 0) peers::fail("no socketpair");
    child_ = fork();
    if (child_ < 0) peers::fail("no second process");
    if (child_ == 0) {
      close(ends_[0]);
      serve(ends_[1]);
    }
    close(ends_[1]);
  }
  PingPong(const PingPong&) = delete;
  PingPong& operator=(const PingPong&) = delete;
  ~PingPong() {
    close(ends_[0]);
    waitpid(child_, nullptr, 0);
  }

  void call(std::uint64_t argument) const {
    std::uint64_t result = 0;
    if (write(ends_[0], &argument, sizeof argument) != sizeof argument ||
        read(ends_[0], &result, sizeof result) != sizeof result || result != argument) {
      peers::fail("the other process did not answer");
    }
  }

 private:
  [[noreturn]] static void serve(int socket) {
    std::uint64_t value = 0;
    while (read(socket, &value, sizeof value) == sizeof value) {
      value = peers::nothing(value);
      if (write(socket, &value, sizeof value) != sizeof value) break;
    }
    _exit(0);
  }

  int ends_[2] = {-1, -1};
  pid_t child_ = -1;
};

// One call after another until `duration` is over.
peers::Report measure(const PingPong& ping_pong, const peers::TreeCpuTime& cpu_time, peers::Pace pace,
                      std::chrono::nanoseconds duration) {
  peers::Report report;
  const std::chrono::nanoseconds cpu_before = cpu_time.read();
  const peers::Clock::time_point first = peers::Clock::now();
  peers::Clock::time_point begun = first;
  while (report.elapsed < duration) {
    if (pace == peers::Pace::after_idleness) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      begun = peers::Clock::now();
    }
    ping_pong.call(++report.calls);
    const peers::Clock::time_point now = peers::Clock::now();
    report.latencies.record(now - begun);
    begun = now;
    report.elapsed = now - first;
  }
  report.cpu = cpu_time.read() - cpu_before;
  return report;
}

}  // namespace

int main(int count, char** arguments) {
  const auto [scenario, duration] = peers::parse_arguments(count, arguments);
  if (scenario.most_in_flight != 1) peers::fail("a ping-pong has one call in flight: one, idle");
  std::signal(SIGPIPE, SIG_IGN);
  const PingPong ping_pong;
  const peers::TreeCpuTime cpu_time;
  measure(ping_pong, cpu_time, scenario.pace, duration / 5);
  measure(ping_pong, cpu_time, scenario.pace, duration).print("socketpair", "", scenario);
}
