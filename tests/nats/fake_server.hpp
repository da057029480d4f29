// FakeServer: what a test sends to clients in the place of a NATS server.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "leasepool/fd.hpp"

namespace leasepool::test {

inline const std::string kFakeInfo =
    R"(INFO {"version":"2.9.10","headers":true,"max_payload":1048576,"auth_required":false} )"
    "\r\n";

// One end of a connection that the test's server has accepted; every call ends when the test does.
class Peer {
 public:
  Peer(int fd, const std::atomic<bool>& ending) : fd_(fd), ending_(ending) {}
  // False when the other end has closed, or the test ends.
  bool send(std::string_view text) const {
    while (!text.empty()) {
      if (!wait(POLLOUT)) return false;
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno == EAGAIN) continue;
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  // All that comes, until it has this in it.
  bool read_until(std::string_view text) const {
    std::string got;
    char buffer[4096];
    while (got.find(text) == std::string::npos) {
      if (!wait(POLLIN)) return false;
      const ssize_t count = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (count < 0 && errno == EAGAIN) continue;
      if (count <= 0) return false;
      got.append(buffer, static_cast<std::size_t>(count));
    }
    return true;
  }
  // Until the other end closes.
  void read_to_end() const { (void)read_until("\x01 never \x01"); }
  bool welcome() const { return send(kFakeInfo) && read_until("PING\r\n") && send("PONG\r\n"); }

 private:
  bool wait(short events) const {
    while (!ending_) {
      pollfd watched{.fd = fd_, .events = events, .revents = 0};
      if (::poll(&watched, 1, 10) > 0) return true;
    }
    return false;
  }
  int fd_;
  const std::atomic<bool>& ending_;
};

// Does the same with each connection, one after another, on a thread.
class FakeServer {
 public:
  explicit FakeServer(std::function<void(const Peer&)> serve) : serve_(std::move(serve)) {
    listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_.get(), generic, size) != 0 || ::listen(listener_.get(), 8) != 0 ||
        ::getsockname(listener_.get(), generic, &size) != 0) {
      throw std::runtime_error("no listener");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;
  ~FakeServer() {
    ending_ = true;
    thread_.join();
  }
  [[nodiscard]] std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void run() {
    while (!ending_) {
      pollfd watched{.fd = listener_.get(), .events = POLLIN, .revents = 0};
      if (::poll(&watched, 1, 10) <= 0) continue;
      const Fd accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!accepted) continue;
      ++connections_;
      serve_(Peer(accepted.get(), ending_));
    }
  }
  const std::function<void(const Peer&)> serve_;
  Fd listener_;
  int port_ = 0;
  std::atomic<bool> ending_ = false;
  std::atomic<int> connections_ = 0;
  std::thread thread_;
};

}  // namespace leasepool::test
