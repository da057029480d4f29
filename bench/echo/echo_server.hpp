// What all echo servers share: their command line, when they are to end, and the line of JSON that they print then.
#pragma once

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>

namespace echo {

// Of each connection. A message of the larger size fits, and may still come in pieces.
inline constexpr std::size_t kBufferBytes = std::size_t{16} * 1024;

// Ends the program at once.
[[noreturn]] inline void fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::_Exit(1);
}

[[noreturn]] inline void fail(const std::string& what, int error) { fail(what + ": " + std::strerror(error)); }

// The same for what this system cannot run, which is no failure.
[[noreturn]] inline void not_here(const char* message) {
  constexpr int kNotHere = 3;
  std::fprintf(stderr, "%s\n", message);
  std::_Exit(kNotHere);
}

// A thousand connections come close to the usual limit of descriptors.
inline void allow_many_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// A descriptor that becomes readable when the server is to end: on SIGTERM, on SIGINT, or when the other end of the
// pipe that is standard input has been closed. Any loop can wait for it.
inline int stop_descriptor() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int from_signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  const int either = epoll_create1(EPOLL_CLOEXEC);
  epoll_event readable{.events = EPOLLIN, .data = {}};
  if (from_signals < 0 || either < 0 || epoll_ctl(either, EPOLL_CTL_ADD, from_signals, &readable) != 0) {
    fail("no descriptor for signals", errno);
  }
  epoll_event closed{.events = EPOLLHUP, .data = {}};
  epoll_ctl(either, EPOLL_CTL_ADD, STDIN_FILENO, &closed);  // refused for a file, which does not end the server
  return either;
}

// Counts what was served, and what processor time it took.
class Account {
 public:
  // The command line: how large the messages are, and perhaps one of the options. Nothing else depends on the size.
  Account(int count, char** arguments, std::initializer_list<std::string_view> options = {}) {
    bool understood = count == 2 || count == 3;
    if (understood) {
      message_bytes_ = static_cast<std::uint64_t>(std::strtoull(arguments[1], nullptr, 10));
      understood = message_bytes_ > 0;
    }
    if (count == 3) {
      understood = false;
      for (const std::string_view option : options) {
        if (option != arguments[2]) continue;
        option_ = option;
        understood = true;
      }
    }
    if (!understood) {
      std::string usage = "usage: " + std::string(arguments[0]) + " BYTES_OF_A_MESSAGE";
      for (const std::string_view option : options) usage += " [" + std::string(option) + ']';
      fail(usage);
    }
    allow_many_descriptors();
  }

  [[nodiscard]] std::string_view option() const { return option_; }

  static void listening(std::uint16_t port) {
    std::printf("%u\n", unsigned{port});
    std::fflush(stdout);
  }
  void connected() {
    if (!has_begun_) cpu_before_ = cpu_time();
    has_begun_ = true;
  }
  void echoed(std::size_t bytes) { bytes_ += bytes; }

  void print(const char* server, const std::string& version) const {
    const std::chrono::nanoseconds cpu = has_begun_ ? cpu_time() - cpu_before_ : std::chrono::nanoseconds(0);
    std::printf(R"({"server": "%s", "version": "%s", "requests": %llu, "cpu_ns": %lld})"
                "\n",
                server, version.c_str(), static_cast<unsigned long long>(bytes_ / message_bytes_),
                static_cast<long long>(cpu.count()));
  }

 private:
  static std::chrono::nanoseconds cpu_time() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto of = [](const timeval& time) {
      return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
    };
    return of(usage.ru_utime) + of(usage.ru_stime);
  }

  std::uint64_t message_bytes_ = 0;
  std::string_view option_;
  bool has_begun_ = false;
  std::chrono::nanoseconds cpu_before_{};
  std::uint64_t bytes_ = 0;
};

}  // namespace echo
