// The echo servers' client: on each connection it sends a message, waits for all of it to come back, and sends the
// next.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "../peers/latencies.hpp"
#include "ring.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using echo::Event;
using echo::fail;

struct Arguments {
  std::uint16_t port = 0;
  std::size_t connections = 0;
  std::size_t bytes = 0;
  std::chrono::nanoseconds duration{};
};

constexpr unsigned kRequests = 4096;

Arguments parse_arguments(int count, char** arguments) {
  constexpr std::size_t kMostConnections = kRequests / 2;  // a send and a receive of each are submitted at once
  constexpr std::size_t kLeastBytes = 16;                  // a number at either end
  constexpr std::size_t kMostBytes = std::size_t{1} << 20;
  Arguments parsed;
  if (count == 5) {
    const double seconds = std::atof(arguments[4]);
    parsed = {.port = static_cast<std::uint16_t>(std::strtoul(arguments[1], nullptr, 10)),
              .connections = std::strtoul(arguments[2], nullptr, 10),
              .bytes = std::strtoul(arguments[3], nullptr, 10),
              .duration = std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9))};
    if (parsed.port > 0 && parsed.connections > 0 && parsed.connections <= kMostConnections &&
        parsed.bytes >= kLeastBytes && parsed.bytes <= kMostBytes && seconds >= 0.01 && seconds <= 3600) {
      return parsed;
    }
  }
  fail("usage: echo_client PORT CONNECTIONS BYTES SECONDS   with messages of 16 bytes to 1 MiB");
}

int connect_to(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0 || connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail("cannot connect", errno);
  }
  const int at_once = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
  return socket;
}

class Client {
 public:
  explicit Client(const Arguments& arguments) : arguments_(arguments), connections_(arguments.connections) {
    for (Connection& connection : connections_) {
      connection.socket = connect_to(arguments.port);
      connection.message.resize(arguments.bytes);
    }
  }

  void run() {
    now_ = Clock::now();
    for (Connection& connection : connections_) begin(connection);
    constexpr int kOfWhichWarmUp = 5;
    run_until(now_ +
              std::max<std::chrono::nanoseconds>(arguments_.duration / kOfWhichWarmUp, std::chrono::milliseconds(10)));
    latencies_.clear();
    const Clock::time_point begun = now_;
    do {
      run_until(begun + arguments_.duration);
    } while (latencies_.count() == 0);
    print(now_ - begun);
    ending_ = true;
    while (in_flight_ > 0) turn();
  }

 private:
  struct Connection {
    int socket = -1;
    std::uint64_t number = 0;  // of the message, at either end of it
    std::size_t received = 0;
    Clock::time_point begun;
    std::vector<std::byte> message;
  };

  void run_until(Clock::time_point end) {
    while (now_ < end) turn();
  }

  // Sends complete at once, so what is waited for beyond them is an answer.
  void turn() {
    const unsigned sends = std::exchange(new_sends_, 0U);
    bool has_read_clock = false;
    ring_.turn(sends + 1, [&](const io_uring_cqe& completion) {
      if (!has_read_clock) now_ = Clock::now();
      has_read_clock = true;
      Connection& connection = connections_[echo::owner_of(completion)];
      if (echo::event_of(completion) == Event::sent) {
        if (completion.res != static_cast<int>(arguments_.bytes)) fail("a message was not sent as a whole");
      } else {
        received(connection, completion.res);
      }
    });
  }

  void received(Connection& connection, int bytes) {
    if (bytes <= 0) fail("a message did not come back");
    connection.received += static_cast<std::size_t>(bytes);
    if (connection.received < arguments_.bytes) return receive(connection);
    if (first(connection) != connection.number || last(connection) != connection.number) {
      fail("another message came back");
    }
    latencies_.record(now_ - connection.begun);
    --in_flight_;
    if (!ending_) begin(connection);
  }

  void begin(Connection& connection) {
    ++connection.number;
    std::memcpy(connection.message.data(), &connection.number, sizeof connection.number);
    std::memcpy(connection.message.data() + arguments_.bytes - sizeof connection.number, &connection.number,
                sizeof connection.number);
    connection.begun = now_;
    connection.received = 0;
    ring_.reserve(2);
    io_uring_sqe* const request = ring_.request();
    io_uring_prep_send(request, connection.socket, connection.message.data(), arguments_.bytes,
                       MSG_NOSIGNAL | MSG_WAITALL);
    request->flags |= IOSQE_IO_LINK;
    echo::name(request, Event::sent, index_of(connection));
    receive(connection);
    ++new_sends_;
    ++in_flight_;
  }

  void receive(Connection& connection) {
    echo::name(ring_.receive_later(connection.socket, connection.message.data() + connection.received,
                                   arguments_.bytes - connection.received, MSG_WAITALL),
               Event::received, index_of(connection));
  }

  [[nodiscard]] std::size_t index_of(const Connection& connection) const {
    return static_cast<std::size_t>(&connection - connections_.data());
  }
  [[nodiscard]] static std::uint64_t first(const Connection& connection) {
    std::uint64_t number = 0;
    std::memcpy(&number, connection.message.data(), sizeof number);
    return number;
  }
  [[nodiscard]] static std::uint64_t last(const Connection& connection) {
    std::uint64_t number = 0;
    std::memcpy(&number, connection.message.data() + connection.message.size() - sizeof number, sizeof number);
    return number;
  }

  void print(std::chrono::nanoseconds elapsed) const {
    std::printf(R"({"requests": %llu, "requests_per_s": %.1f, "p50_ns": %llu, "p99_ns": %llu})"
                "\n",
                static_cast<unsigned long long>(latencies_.count()),
                static_cast<double>(latencies_.count()) / std::chrono::duration<double>(elapsed).count(),
                static_cast<unsigned long long>(latencies_.percentile(50)),
                static_cast<unsigned long long>(latencies_.percentile(99)));
  }

  Arguments arguments_;
  std::vector<Connection> connections_;
  echo::Ring ring_{kRequests};
  peers::Latencies latencies_;
  Clock::time_point now_;  // read once a turn
  unsigned new_sends_ = 0;
  std::size_t in_flight_ = 0;
  bool ending_ = false;
};

}  // namespace

int main(int count, char** arguments) {
  echo::allow_many_descriptors();
  Client client(parse_arguments(count, arguments));
  client.run();
}
