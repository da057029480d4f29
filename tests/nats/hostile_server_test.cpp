// Tests of a connection to what is no honest server: garbage, lengths that lie, halves of frames, silence, floods.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "catch.hpp"
#include "leasepool/fd.hpp"
#include "nats/bus_client.hpp"

namespace hostile_server_test {

using leasepool::Fd;
using leasepool::Loop;
using leasepool::test::BusClient;
using leasepool::test::run_until;
using namespace std::chrono_literals;
using Options = BusClient::Options;

const std::string kInfo = R"(INFO {"version":"2.9.10","headers":true,"max_payload":1048576,"auth_required":false} )"
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
  bool welcome() const { return send(kInfo) && read_until("PING\r\n") && send("PONG\r\n"); }

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

// The first reason that a client hears of a server that says this, in full or up to its close.
std::string reason_of(const std::string& words, bool then_close = false) {
  const FakeServer server([&](const Peer& peer) {
    (void)peer.send(words);
    if (!then_close) peer.read_to_end();
  });
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .attempt_timeout = 300ms});
  const std::string reason = a.next_reason();
  CHECK(a.connects_seen == 0);
  CHECK_THAT(reason, ContainsSubstring("NATS server " + server.url() + ": "));
  return reason;
}

TEST_CASE("what is no NATS server is told so", "[hostile server]") {
  CHECK_THAT(reason_of("SSH-2.0-OpenSSH_9.2p1\r\n"), ContainsSubstring("it begins with no command of NATS"));
  CHECK_THAT(reason_of("HTTP/1.1 400 Bad Request\r\n\r\n"), ContainsSubstring("no command of NATS"));
  CHECK_THAT(reason_of("PING\r\n"), ContainsSubstring("it does not begin with INFO"));
  CHECK_THAT(reason_of("INFO nothing\r\n"), ContainsSubstring("its INFO is no JSON"));
  CHECK_THAT(reason_of("INFO {\"version\":\"2.1.0\"}\r\n"), ContainsSubstring("it is too old (version \"2.1.0\")"));
  CHECK_THAT(reason_of("INFO {" + std::string(100'000, ' ')), ContainsSubstring("a line is longer than 64 KiB"));
  CHECK_THAT(reason_of("INFO {\"vers"), ContainsSubstring("did not come within 300 ms"));
  CHECK_THAT(reason_of(""), ContainsSubstring("did not come within 300 ms"));
  CHECK_THAT(reason_of("", true), ContainsSubstring("it has closed the connection"));
  CHECK_THAT(reason_of(kInfo), ContainsSubstring("its answer to CONNECT did not come within 300 ms"));
  CHECK_THAT(reason_of("-ERR 'maximum connections exceeded'\r\n"),
             ContainsSubstring("it ends the connection: maximum connections exceeded"));
  CHECK_THAT(reason_of("-ERR '\x1b[31m\x80" + std::string(5000, 'x') + "'\r\n"),
             ContainsSubstring("??[31m") || ContainsSubstring("?[31m?"));
  CHECK_THAT(reason_of(R"(INFO {"headers":true,"tls_required":true})"
                       "\r\n"),
             ContainsSubstring("its part of TLS did not come within 300 ms"));
  CHECK_THAT(reason_of(R"(INFO {"headers":true,"tls_required":true})"
                       "\r\nPING\r\n"),
             ContainsSubstring("it says something before TLS begins"));
}

TEST_CASE("frames that lie end the connection, and another one is made", "[hostile server]") {
  const char* const words[] = {
      "MSG a 1 99999999999999999999\r\n",
      "MSG a 1 1048577\r\n",
      "MSG a 1 3\r\nabcdef\r\n",
      "HMSG a 1 9 3\r\n",
      "MSG a x 3\r\nabc\r\n",
      "\r\n",
      "BOO\r\n",
      "-ERR 'Slow Consumer'\r\n",
  };
  for (const char* lie : words) {
    CAPTURE(lie);
    const FakeServer server([lie](const Peer& peer) {
      if (peer.welcome() && peer.send(lie)) peer.read_to_end();
    });
    Loop loop;
    BusClient a(loop, server.url());
    a.listen("a");
    REQUIRE_FALSE(a.next_reason().empty());
    CHECK(a.heard.empty());
    REQUIRE(run_until(loop, [&] { return a.connects_seen >= 2; }));
  }
}

TEST_CASE("half a frame is waited for, whatever it announces, and takes no memory", "[hostile server]") {
  const FakeServer server([](const Peer& peer) {
    if (!peer.welcome()) return;
    (void)peer.send("MSG a 1 1048576\r\nhalf");
    peer.read_to_end();
  });
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .keepalive = 50ms});
  a.listen("a");
  CHECK_THAT(a.next_reason(), ContainsSubstring("no answer to a ping"));
  CHECK(a.heard.empty());
}

TEST_CASE("messages for nobody, and with subjects that are none, are passed over or handed on as they are",
          "[hostile server]") {
  const FakeServer server([](const Peer& peer) {
    if (!peer.welcome()) return;
    (void)peer.send("MSG a 77 1\r\nx\r\nMSG .\x80.. 1 > 1\r\ny\r\nHMSG a 1 4 5\r\nJUNKz\r\n+OK\r\nPONG\r\nINFO "
                    "{}\r\nMSG a 1 1\r\nw\r\n");
    peer.read_to_end();
  });
  Loop loop;
  BusClient a(loop, server.url());
  a.listen("a");
  REQUIRE(a.hears(3));
  CHECK(a.heard == std::vector<std::string>{".\x80..<> y", "a z", "a w"});
  CHECK(a.reasons.empty());
}

TEST_CASE("a flood of pings from who never reads ends the connection before it fills the memory", "[hostile server]") {
  std::atomic<std::size_t> sent = 0;
  const FakeServer server([&sent](const Peer& peer) {
    if (sent > 0 || !peer.welcome()) return;  // the first connection alone
    std::string pings;
    for (int i = 0; i < 10'000; ++i) pings += "PING\r\n";
    while (peer.send(pings)) sent += pings.size();
  });
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .max_unsent = 1 << 20});
  CHECK_THAT(a.next_reason(), ContainsSubstring("it asks for more answers than it reads"));
  // The bound, and what the sockets hold in both directions.
  CHECK(sent < std::size_t{100} << 20);
}

TEST_CASE("messages that come before the answer to CONNECT are nobody's", "[hostile server]") {
  const FakeServer server([](const Peer& peer) {
    if (!peer.send(kInfo) || !peer.read_until("PING\r\n")) return;
    (void)peer.send("MSG a 1 1\r\nx\r\nPONG\r\nMSG a 1 1\r\ny\r\n");
    peer.read_to_end();
  });
  Loop loop;
  BusClient a(loop, server.url());
  a.listen("a");
  REQUIRE(a.hears(1));
  CHECK(a.heard == std::vector<std::string>{"a y"});
}

TEST_CASE("random answers never do more than end the connection", "[hostile server]") {
  std::mt19937 random(11);
  const FakeServer server([&random](const Peer& peer) {
    static constexpr std::string_view kParts[] = {
        "MSG a 1 3\r\nabc\r\n", "PING\r\n", "HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", "+OK\r\n",
        "-ERR 'x'\r\n",         "PONG\r\n"};
    if (random() % 4 != 0 && !peer.welcome()) return;
    std::string words;
    for (int i = 0; i < 20; ++i) words += kParts[random() % 6];
    for (int i = 0; i < 3; ++i) words[random() % words.size()] = static_cast<char>(random());
    (void)peer.send(words);
  });
  Loop loop;
  BusClient a(loop, Options{.servers = server.url(), .attempt_timeout = 100ms});
  a.listen("a");
  REQUIRE(run_until(loop, [&] { return server.connections() >= 50; }));
}

}  // namespace hostile_server_test
