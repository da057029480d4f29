// BusClient: a client over a Connection that notes what it hears, and a loop that runs until something holds.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/task.hpp"
#include "nats/connection.hpp"
#include "nats/nats_server.hpp"
#include "support/skip.hpp"

namespace leasepool::test {

// False, and the test is counted as skipped, where none is installed.
[[nodiscard]] inline bool has_nats_server() {
  if (!NatsServer::program().empty()) return true;
  skip("there is no nats-server");
  return false;
}

// Whether it came to hold within a time that only a broken test needs.
template <class Condition>
[[nodiscard]] bool run_until(Loop& loop, Condition holds, std::chrono::seconds limit = std::chrono::seconds(30)) {
  const auto waiting = [](Loop& on, Condition& until, std::chrono::seconds most) -> Task<bool> {
    const auto give_up = std::chrono::steady_clock::now() + most;
    while (!until()) {
      if (std::chrono::steady_clock::now() >= give_up) co_return false;
      auto pause = on.sleep(std::chrono::milliseconds(1));
      co_await pause;
    }
    co_return true;
  };
  return loop.block_on(waiting(loop, holds, limit));
}

class BusClient final : private detail::nats::BusOwner {
 public:
  using Options = detail::nats::ConnectionOptions;
  using Published = detail::nats::Published;

  BusClient(Loop& loop, Options options)
      : loop_(loop), bus(detail::nats::Connection::make(detail::Access::core(loop), std::move(options), *this)) {}
  BusClient(Loop& loop, const std::string& servers) : BusClient(loop, Options{.servers = servers}) {}
  BusClient(const BusClient&) = delete;
  BusClient& operator=(const BusClient&) = delete;
  ~BusClient() { bus->close(); }

  auto listen(std::string_view pattern) {
    return bus->subscribe(pattern, [this](const detail::nats::BusMessage& message) {
      heard.push_back(std::string(message.subject) + (message.reply.empty() ? "" : "<" + std::string(message.reply)) +
                      (message.no_responders ? " nobody"
                                             : " " + std::string(reinterpret_cast<const char*>(message.payload.data()),
                                                                 std::min<std::size_t>(message.payload.size(), 100))));
      heard_bytes += message.payload.size();
    });
  }
  [[nodiscard]] Published say(std::string_view subject, std::string_view text, std::string_view reply = {}) const {
    return bus->publish(subject, std::as_bytes(std::span(text)), reply);
  }

  [[nodiscard]] bool connects() {
    return run_until(loop_, [this] { return bus->state() == detail::nats::BusState::connected; });
  }
  [[nodiscard]] bool hears(std::size_t messages) {
    return run_until(loop_, [&] { return heard.size() >= messages; });
  }
  // The first reason after `known` others; empty if none comes.
  [[nodiscard]] std::string next_reason(std::size_t known = 0) {
    return run_until(loop_, [&] { return reasons.size() > known; }) ? reasons[known] : "";
  }
  [[nodiscard]] std::string next_refusal() {
    return run_until(loop_, [&] { return !refusals.empty(); }) ? refusals.front() : "";
  }

  int connects_seen = 0;
  int rooms = 0;
  std::vector<std::string> reasons;
  std::vector<std::string> refusals;
  std::vector<std::string> heard;
  std::size_t heard_bytes = 0;

 private:
  void bus_connected() override { ++connects_seen; }
  void bus_disconnected(const Error& reason) override { reasons.push_back(reason.message()); }
  void bus_has_room() override { ++rooms; }
  void bus_refused(const Error& reason) override { refusals.push_back(reason.message()); }

  Loop& loop_;

 public:
  const std::shared_ptr<detail::nats::Connection> bus;
};

}  // namespace leasepool::test
