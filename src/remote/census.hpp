// Census: asks once which nodes there are, and collects their answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "leasepool/node_info.hpp"
#include "leasepool/remote_options.hpp"
#include "loop/deferred.hpp"
#include "loop/kept_timer.hpp"
#include "loop/loop_client.hpp"
#include "loop/scheduler.hpp"
#include "nats/bus.hpp"

namespace leasepool::detail::remote {

// Loop thread only. Keeps itself until it has ended.
class Census final : public nats::BusOwner, public LoopClient, public std::enable_shared_from_this<Census> {
 public:
  // What answers may take of our memory: strangers send them.
  static constexpr std::size_t kMostNodes = 10'000;
  static constexpr std::size_t kMostBytes = std::size_t{64} << 20;

  using MakeBus = std::function<std::shared_ptr<nats::Bus>(nats::BusOwner& owner)>;

  Census(std::shared_ptr<Scheduler> scheduler, const RemoteOptions& remote, Duration wait, std::uint64_t instance,
         std::function<void(Census&)> ended);
  Census(const Census&) = delete;
  Census& operator=(const Census&) = delete;
  ~Census() override;

  // Throws std::bad_alloc, and then `done` is not called.
  void start(const MakeBus& make_bus, NodesCallback done);

  void bus_connected() override;
  void bus_disconnected(const Error& reason) override;
  void bus_has_room() override {}
  void bus_refused(const Error& reason) override { finish(std::unexpected(reason)); }

  void loop_closing() noexcept override { end(); }

 private:
  void take(const nats::BusMessage& message);
  void timer_came();
  void set_timer(Duration delay) noexcept;
  void finish(Result<std::vector<NodeInfo>> result) noexcept;
  void end() noexcept;

  const std::shared_ptr<Scheduler> scheduler_;
  const RemoteOptions remote_;
  const Duration wait_;
  const std::uint64_t instance_;
  const std::string address_;
  const std::function<void(Census&)> ended_;
  std::shared_ptr<nats::Bus> bus_;
  std::unique_ptr<Notice<std::vector<NodeInfo>>> done_;
  std::vector<NodeInfo> nodes_;
  std::size_t bytes_ = 0;
  std::optional<TimePoint> asked_;
  std::string last_problem_;
  KeptTimer timer_{*scheduler_};
  std::shared_ptr<Census> self_;
};

}  // namespace leasepool::detail::remote
