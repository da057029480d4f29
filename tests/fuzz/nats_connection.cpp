// A connection to a NATS server that an input plays, through a socket on loopback.
#include "nats/connection.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/unique_fd.hpp"
#include "fuzz/input.hpp"
#include "fuzz/shared_loop.hpp"
#include "fuzz/targets.hpp"

namespace leasepool::fuzz {

namespace nats_connection_target {
namespace {

using namespace detail::nats;
using detail::UniqueFd;

constexpr std::size_t kMaxDeeds = 32;
constexpr std::string_view kInfo = "INFO {\"version\":\"2.10.0\",\"headers\":true,\"max_payload\":4096}\r\nPONG\r\n";

class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket_.get(), generic, size) != 0 || ::listen(socket_.get(), 4) != 0 ||
        ::getsockname(socket_.get(), generic, &size) != 0) {
      throw std::runtime_error("no socket can be bound on loopback");
    }
    url_ = "nats://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  [[nodiscard]] const std::string& url() const noexcept { return url_; }

  // A connection; it is reset in the end, so that none is left in TIME_WAIT.
  [[nodiscard]] UniqueFd accept(detail::LoopCore& loop) const {
    UniqueFd peer;
    const auto connects = [&] {
      peer = UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      return static_cast<bool>(peer);
    };
    require(turn_until(loop, connects), "a client connects");
    constexpr linger kReset{.l_onoff = 1, .l_linger = 0};
    (void)::setsockopt(peer.get(), SOL_SOCKET, SO_LINGER, &kReset, sizeof kReset);
    return peer;
  }

 private:
  UniqueFd socket_;
  std::string url_;
};

class Owner final : public BusOwner {
 public:
  void bus_connected() override { called(); }
  void bus_disconnected(const Error& reason) override {
    called();
    require(!reason.message().empty(), "a loss has a reason");
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' '; };
    require(std::ranges::none_of(reason.message(), is_control), "what a server says is made printable");
  }
  void bus_has_room() override { called(); }
  void bus_refused(const Error& /*reason*/) override { called(); }
  void called() const { require(!is_closed, "nobody is told anything after the close"); }

  bool is_closed = false;
};

// What a client says, in lines.
class Heard {
 public:
  void read(int socket) {
    std::array<char, 4096> bytes;
    for (;;) {
      const ssize_t size = ::recv(socket, bytes.data(), bytes.size(), 0);
      if (size <= 0) break;
      text_.append(bytes.data(), static_cast<std::size_t>(size));
    }
    for (std::size_t end = 0; (end = text_.find("\r\n")) != std::string::npos; text_.erase(0, end + 2)) {
      constexpr std::array<std::string_view, 7> kCommands = {"CONNECT {", "SUB ", "UNSUB ", "PUB ",
                                                             "PING",      "PONG", "payload"};
      require(std::ranges::any_of(kCommands, [&](std::string_view command) { return text_.starts_with(command); }),
              "a client says what a client may");
    }
  }

 private:
  std::string text_;
};

void act(Input& input, int server, Connection& client, Owner& owner) {
  const auto send = [server](std::string_view text) {
    (void)::send(server, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  };
  const auto deed = input.number<std::uint8_t>();
  switch (deed % 8) {
    case 0: return send(kInfo);
    case 1: return send(as_text(input.piece()));
    case 2: return send("MSG a.b " + std::to_string(deed / 8) + " r 5\r\nhello\r\n");
    case 3: return send(deed / 8 % 2 == 0 ? "PING\r\n" : "PONG\r\n");
    case 4:
      (void)client.subscribe("a.*", [&owner](const BusMessage& message) {
        owner.called();
        require(message.payload.size() <= kMaxPayload, "a payload has its bound");
      });
      return;
    case 5: return client.unsubscribe(deed / 8U);
    case 6: {
      const Published published = client.publish("x.y", as_bytes("payload"), deed / 8 % 2 == 0 ? "" : "z");
      const bool connected = client.state() == BusState::connected;
      require((published == Published::not_connected) == !connected, "what is published goes out or is refused");
      return;
    }
    default: return turn(*shared_loop());
  }
}

void run(std::span<const std::byte> bytes) {
  static const Listener listener;
  Input input(bytes);
  const auto& loop = shared_loop();
  const std::size_t own_operations = loop->engine().in_flight();
  Owner owner;
  {
    const auto client = Connection::make(loop, {.servers = listener.url(), .user = "user", .name = "name"}, owner);
    const UniqueFd server = listener.accept(*loop);
    Heard heard;
    for (std::size_t deeds = 0; deeds < kMaxDeeds && !input.empty(); ++deeds) {
      act(input, server.get(), *client, owner);
      heard.read(server.get());
    }
    for (int turns = 0; turns < 4; ++turns) turn(*loop);
    heard.read(server.get());
    client->close();
    owner.is_closed = true;
    require(client->state() == BusState::closed, "a client that was closed is");
  }
  require(turn_until(*loop, [&] { return loop->engine().in_flight() == own_operations; }),
          "a closed connection has nothing in flight in the end");
}

std::vector<detail::Bytes> make_seeds() {
  std::vector<detail::Bytes> seeds(2);
  const auto deeds = [&seeds](std::size_t seed, std::initializer_list<int> of) {
    for (const int deed : of) put_number(seeds[seed], static_cast<std::uint8_t>(deed));
  };
  deeds(0, {4, 0, 7, 7, 7, 10, 7, 7, 6, 14, 3, 7, 7, 13, 7});
  deeds(1, {4, 0, 7, 7, 7, 1});
  put_piece(seeds[1],
            as_bytes("HMSG a.b 1 12 17\r\nNATS/1.0\r\n\r\nhello\r\n-ERR 'Permissions Violation for Publish to "
                     "\"x.y\"'\r\nINFO {\"max_payload\":10}\r\n"));
  deeds(1, {7, 7, 6, 7});
  return seeds;
}

}  // namespace
}  // namespace nats_connection_target

constinit const Target kNatsConnection{.name = "nats_connection",
                                       .max_size = 4096,
                                       .run = nats_connection_target::run,
                                       .make_seeds = nats_connection_target::make_seeds};

}  // namespace leasepool::fuzz
