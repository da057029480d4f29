// A message of 16 bytes through a NATS server and back: by the library's own client, and by blocking sockets that speak
// the protocol as plainly as it goes, in the same run on the same server.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "figures/report.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/fd.hpp"
#include "leasepool/loop.hpp"
#include "nats/connection.hpp"
#include "nats/nats_server.hpp"
#include "nats/protocol.hpp"

namespace {

using leasepool::Fd;
using leasepool::Loop;
using leasepool::detail::nats::Bus;
using leasepool::detail::nats::BusMessage;
using leasepool::detail::nats::Connection;
using leasepool::detail::nats::decode;
using leasepool::detail::nats::Decoded;
using leasepool::detail::nats::Frame;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kAsk = "echo.ask";
constexpr std::string_view kAnswer = "echo.answer";
const std::array<std::byte, 16> kPayload{};

struct Figures {
  double median_ns = 0;   // of a round trip
  double per_second = 0;  // of round trips
};

// Counts answers, and times each where one is in flight.
class Meter {
 public:
  explicit Meter(double seconds) : begin_(Clock::now()), end_(begin_ + std::chrono::duration<double>(seconds)) {}
  void asked() noexcept { asked_ = Clock::now(); }
  // False when the time is over.
  bool answered() {
    const auto now = Clock::now();
    ++answers_;
    if (times_.size() < kTimes) times_.push_back(std::chrono::duration<double, std::nano>(now - asked_).count());
    last_ = now;
    return now < end_;
  }
  [[nodiscard]] Figures figures() const {
    return {.median_ns = figures::median(times_),
            .per_second = static_cast<double>(answers_) / std::chrono::duration<double>(last_ - begin_).count()};
  }

 private:
  static constexpr std::size_t kTimes = 200'000;
  const Clock::time_point begin_;
  const std::chrono::time_point<Clock, std::chrono::duration<double, std::nano>> end_;
  Clock::time_point asked_{};
  Clock::time_point last_{};
  std::size_t answers_ = 0;
  std::vector<double> times_;
};

struct Owner final : leasepool::detail::nats::BusOwner {
  explicit Owner(std::function<void()> on_connected) : connected(std::move(on_connected)) {}
  void bus_connected() override { connected(); }
  void bus_disconnected(const leasepool::Error& reason) override {
    std::fprintf(stderr, "%s\n", reason.message().c_str());
  }
  void bus_has_room() override {}
  void bus_refused(const leasepool::Error& /*reason*/) override {}
  std::function<void()> connected;
};

// On two loops, each on a thread of its own.
Figures by_client(const std::string& server, std::size_t in_flight, double seconds) {
  std::promise<Loop*> ready;
  std::thread echo([&] {
    Loop loop;
    Owner owner([&] { ready.set_value(&loop); });
    const auto bus = Connection::make(leasepool::detail::Access::core(loop), {.servers = server}, owner);
    bus->subscribe(kAsk, [&](const BusMessage& message) { (void)bus->publish(kAnswer, message.payload); });
    loop.run();
    bus->close();
  });
  Loop* const echo_loop = ready.get_future().get();

  Loop loop;
  std::unique_ptr<Meter> meter;
  std::shared_ptr<Connection> bus;
  Owner owner([&] {
    meter = std::make_unique<Meter>(seconds);
    meter->asked();
    for (std::size_t i = 0; i < in_flight; ++i) (void)bus->publish(kAsk, kPayload);
  });
  bus = Connection::make(leasepool::detail::Access::core(loop), {.servers = server}, owner);
  bus->subscribe(kAnswer, [&](const BusMessage&) {
    if (!meter->answered()) return loop.stop();
    meter->asked();
    (void)bus->publish(kAsk, kPayload);
  });
  loop.run();
  bus->close();
  echo_loop->stop();
  echo.join();
  return meter->figures();
}

// A socket that blocks, and what it received and did not take yet.
class PlainClient {
 public:
  PlainClient(std::uint16_t port, std::string_view subscription)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
      throw std::runtime_error("connect");
    }
    leasepool::detail::nats::encode_connect(out_, {});
    leasepool::detail::nats::encode_subscribe(out_, subscription, 1);
    out_ += leasepool::detail::nats::kPing;
    flush();
    bool welcome = false;
    while (!welcome) receive([&](const Frame& frame) { welcome = welcome || frame.kind == Frame::Kind::pong; });
  }
  void publish(std::string_view subject) { leasepool::detail::nats::encode_publish(out_, subject, {}, kPayload); }
  void flush() {
    for (std::string_view rest = out_; !rest.empty();) {
      const ssize_t sent = ::send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent <= 0) throw std::runtime_error("send");
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    out_.clear();
  }
  // What is there, in one call. False at the end.
  template <class Take>
  bool receive(Take take) {
    const ssize_t count = ::recv(fd_.get(), in_.data() + filled_, in_.size() - filled_, 0);
    if (count <= 0) return false;
    filled_ += static_cast<std::size_t>(count);
    std::string_view rest(in_.data(), filled_);
    for (;;) {
      const Decoded decoded = decode(rest, 1 << 20);
      if (decoded.state != Decoded::State::complete) break;
      take(decoded.frame);
      rest.remove_prefix(decoded.size);
    }
    std::memmove(in_.data(), rest.data(), rest.size());
    filled_ = rest.size();
    return true;
  }
  void shut_down() const { ::shutdown(fd_.get(), SHUT_RDWR); }

 private:
  Fd fd_;
  std::string out_;
  std::vector<char> in_ = std::vector<char>(std::size_t{64} << 10);
  std::size_t filled_ = 0;
};

Figures by_sockets(std::uint16_t port, std::size_t in_flight, double seconds) {
  PlainClient answering(port, kAsk);
  std::thread echo([&] {
    const auto answer = [&](const Frame& frame) {
      if (frame.kind == Frame::Kind::message) answering.publish(kAnswer);
    };
    while (answering.receive(answer)) answering.flush();
  });
  PlainClient asking(port, kAnswer);
  Meter meter(seconds);
  meter.asked();
  for (std::size_t i = 0; i < in_flight; ++i) asking.publish(kAsk);
  asking.flush();
  bool goes_on = true;
  while (goes_on) {
    const bool open = asking.receive([&](const Frame& frame) {
      if (frame.kind != Frame::Kind::message || !(goes_on = goes_on && meter.answered())) return;
      meter.asked();
      asking.publish(kAsk);
    });
    if (!open) throw std::runtime_error("the server has closed");
    asking.flush();
  }
  answering.shut_down();
  echo.join();
  return meter.figures();
}

}  // namespace

int main(int argc, char** argv) {
  const figures::Options options(argc, argv, "16 bytes through a NATS server on loopback and back.",
                                 {{"seconds", 3, "of each of the four"}, {"in-flight", 64, "round trips at once"}},
                                 {{"seconds", 0.3, {}}});
  if (leasepool::test::NatsServer::program().empty()) {
    std::fprintf(stderr, "%s: there is no nats-server\n", options.program().c_str());
    return 0;
  }
  const leasepool::test::NatsServer server;
  const std::size_t many = options.count("in-flight");
  const double seconds = options.number("seconds");
  figures::Report report(options);
  const auto add = [&](const std::string& who, const std::function<Figures(std::size_t)>& measure) {
    report.add({.figure = {},
                .what = who + ": a round trip, the median",
                .value = measure(1).median_ns,
                .unit = figures::Unit::nanoseconds});
    report.add({.figure = {},
                .what = who + ": round trips, " + std::to_string(many) + " in flight",
                .value = measure(many).per_second,
                .unit = figures::Unit::per_second});
  };
  add("sockets that block", [&](std::size_t in_flight) { return by_sockets(server.port(), in_flight, seconds); });
  add("the library's client", [&](std::size_t in_flight) { return by_client(server.url(), in_flight, seconds); });
  report.note("Both ends in one process, on a thread each; the server in another.");
  report.print();
}
