// The NATS protocol by itself: 16 bytes through a server to another process and back, by plain sockets on both ends.
// What calls through a server cannot go below. One process answers, as there is nothing to work on.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "alarms.hpp"
#include "nats_server.hpp"
#include "scenario.hpp"
#include "worker_process.hpp"

namespace {

using peers::Alarm;

constexpr std::string_view kAsk = "ask";
constexpr std::string_view kAnswer = "answer";

struct Message {
  std::uint64_t slot;
  std::uint64_t value;
};

class Client {
 public:
  Client(std::uint16_t port, std::string_view subscription) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    if (fd_ < 0 || connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
      peers::fail("no connection to the nats-server");
    }
    out_ = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB " + std::string(subscription) + " 1\r\nPING\r\n";
    flush();
    while (!subscribed_) receive([](const Message&) {});
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(fd_); }

  void publish(std::string_view subject, const Message& message) {
    out_ += "PUB ";
    out_ += subject;
    out_ += " 16\r\n";
    out_.append(reinterpret_cast<const char*>(&message), sizeof message);
    out_ += "\r\n";
  }

  void flush() {
    for (std::string_view rest = out_; !rest.empty();) {
      const ssize_t sent = send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent <= 0) peers::fail("the nats-server has closed");
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    out_.clear();
  }

  // Whether there is something to receive within that time.
  [[nodiscard]] bool wait(int milliseconds) const {
    pollfd polled{.fd = fd_, .events = POLLIN, .revents = 0};
    return poll(&polled, 1, milliseconds) > 0;
  }

  // Waits, and takes what has come.
  template <class Take>
  void receive(const Take& take) {
    const ssize_t count = recv(fd_, in_.data() + filled_, in_.size() - filled_, 0);
    if (count <= 0) peers::fail("the nats-server has closed");
    filled_ += static_cast<std::size_t>(count);
    std::string_view rest(in_.data(), filled_);
    while (take_frame(rest, take)) {
    }
    std::memmove(in_.data(), rest.data(), rest.size());
    filled_ = rest.size();
  }

 private:
  // False where it is not there in whole.
  template <class Take>
  bool take_frame(std::string_view& rest, const Take& take) {
    const std::size_t end = rest.find("\r\n");
    if (end == std::string_view::npos) return false;
    const std::string_view line = rest.substr(0, end);
    std::size_t size = end + 2;
    if (line.starts_with("MSG ")) {
      Message message{};
      if (!line.ends_with(" 16")) peers::fail("a message that is none of ours");
      if (rest.size() < size + sizeof message + 2) return false;
      std::memcpy(&message, rest.data() + size, sizeof message);
      size += sizeof message + 2;
      take(message);
    } else if (line == "PING") {
      out_ += "PONG\r\n";
    } else if (line == "PONG") {
      subscribed_ = true;
    } else if (line.starts_with("-ERR")) {
      peers::fail("nats-server: " + std::string(line));
    }
    rest.remove_prefix(size);
    return true;
  }

  int fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string out_;
  std::vector<char> in_ = std::vector<char>(std::size_t{64} << 10);
  std::size_t filled_ = 0;
  bool subscribed_ = false;
};

class NatsEcho {
 public:
  static constexpr const char* kName = "nats-echo";
  static std::string version() { return {}; }

  NatsEcho(peers::Caller& caller, const peers::Scenario& /*scenario*/) : caller_(caller) {}

  void call(std::size_t slot, std::uint64_t argument) { client_.publish(kAsk, {.slot = slot, .value = argument}); }
  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) { alarms_.set(alarm, delay); }

  void run() {
    while (!stopped_) {
      client_.flush();
      if (client_.wait(alarms_.next_milliseconds())) {
        client_.receive([this](const Message& message) { caller_.ended(message.slot, message.value); });
      }
      alarms_.ring_those_due(caller_);
    }
  }
  void stop() { stopped_ = true; }

 private:
  peers::Caller& caller_;
  peers::NatsServer server_;
  peers::WorkerProcess worker_{0, [this](const std::string& /*name*/, const auto& ready) {
                                 Client client(server_.port(), kAsk);
                                 ready();
                                 for (;;) {
                                   client.receive([&](Message message) {
                                     message.value = peers::nothing(message.value);
                                     client.publish(kAnswer, message);
                                   });
                                   client.flush();
                                 }
                               }};
  Client client_{server_.port(), kAnswer};
  peers::Alarms alarms_;
  bool stopped_ = false;
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<NatsEcho>(count, arguments); }
