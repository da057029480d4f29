// Presence: answers who asks which nodes there are.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "leasepool/node_info.hpp"
#include "loop/scheduler.hpp"
#include "nats/bus.hpp"
#include "remote/rate_limit.hpp"

namespace leasepool::detail::remote {

// Loop thread only. Goes before what `describe` refers to.
class Presence {
 public:
  // So many answers at once, and one more after each pause.
  static constexpr int kBurst = 20;
  static constexpr Duration kPause = std::chrono::milliseconds(50);

  using Describe = std::function<NodeInfo()>;

  // Listens on the bus until that is closed. Throws std::bad_alloc.
  Presence(Scheduler& scheduler, nats::Bus& bus, const std::string& cluster, const std::string& pool,
           std::uint64_t instance, Describe describe);
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;
  ~Presence() = default;

  // Questions that were none, and those beyond the rate.
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }

 private:
  void take(const nats::BusMessage& message);

  Scheduler& scheduler_;
  nats::Bus& bus_;
  const std::string askers_;  // where they listen begins so
  const std::uint64_t instance_;
  const Describe describe_;
  RateLimit rate_{kBurst, kPause};
  std::uint64_t refused_ = 0;
};

}  // namespace leasepool::detail::remote
