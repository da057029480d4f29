// NodeService: the life of a Node: the server first, then the workers; then it lends, until it drains or is stopped.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "base/log.hpp"
#include "lease/manager_core.hpp"
#include "leasepool/node_info.hpp"
#include "leasepool/node_stats.hpp"
#include "leasepool/remote_options.hpp"
#include "loop/deferred.hpp"
#include "loop/kept_timer.hpp"
#include "loop/loop_client.hpp"
#include "loop/loop_report.hpp"
#include "loop/scheduler.hpp"
#include "nats/bus.hpp"
#include "pool/log_queue.hpp"
#include "remote/node_core.hpp"
#include "remote/presence.hpp"
#include "remote/problem_log.hpp"

namespace leasepool::detail {

// Loop thread only. The manager is the node's own, and goes after it.
class NodeService final : public nats::BusOwner, public LoopClient, public std::enable_shared_from_this<NodeService> {
 public:
  // Begins to connect; called at each start.
  using MakeBus = std::function<std::shared_ptr<nats::Bus>(nats::BusOwner& owner)>;

  NodeService(std::shared_ptr<Scheduler> scheduler, std::shared_ptr<ManagerCore> manager, RemoteOptions remote,
              std::string name, MakeBus make_bus);
  NodeService(const NodeService&) = delete;
  NodeService& operator=(const NodeService&) = delete;
  ~NodeService() override;

  // They throw std::bad_alloc, and then the callback is not called.
  void start(DoneCallback done);
  void stop(bool force, DoneCallback done);

  // The handle is destroyed, or the loop: lets go of everything.
  void shut_down() noexcept;
  void loop_closing() noexcept override { shut_down(); }
  void add_to(LoopReport& report) override { report.nodes.push_back(stats()); }

  [[nodiscard]] NodeStats stats() const;
  // What it answers to who asks which nodes there are.
  [[nodiscard]] NodeInfo info() const;
  [[nodiscard]] Scheduler& scheduler() const noexcept { return *scheduler_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  void bus_connected() override;
  void bus_disconnected(const Error& reason) override;
  void bus_has_room() override;
  void bus_refused(const Error& reason) override;

 private:
  void enter(NodeState next) noexcept;
  void begin_start();
  void connect();
  void start_workers();
  void workers_started(const Result<void>& result);
  void start_failed(const Error& error);
  void drain();
  void drained();
  void stop_manager();
  void manager_stopped();
  void finish_stop();
  void close_bus() noexcept;
  void set_timer(Duration delay) noexcept;
  void timer_came();
  void note_problem(const Error& reason) noexcept;
  template <class MakeText>
  void log(LogLevel level, MakeText make_text) noexcept {
    const std::string& from = manager_->options().name_prefix;
    try {
      const std::string line = "node " + name_ + ": " + make_text();
      log_->push({.time = std::chrono::system_clock::now(), .level = level, .text = line, .pool = from});
    } catch (const std::bad_alloc&) {
      log_->count_dropped(1, from);
    }
  }

  const std::shared_ptr<Scheduler> scheduler_;
  const std::shared_ptr<ManagerCore> manager_;
  const RemoteOptions remote_;
  const std::string name_;
  const MakeBus make_bus_;
  NodeState state_ = NodeState::stopped;
  std::shared_ptr<remote::NodeCore> node_;  // while it is not stopped
  std::shared_ptr<nats::Bus> bus_;
  std::unique_ptr<remote::Presence> presence_;  // while there is the bus
  TimePoint started_{};
  bool connected_ = false;
  bool was_connected_ = false;  // since the start
  bool manager_stopped_ = false;
  bool shut_down_ = false;
  std::optional<Error> start_error_;  // while what a failed start made goes
  std::string last_problem_;
  remote::ProblemLog problems_;
  std::uint64_t disconnects_ = 0;
  KeptTimer timer_{*scheduler_};
  DoneNotices start_callbacks_;
  DoneNotices failed_starts_;
  DoneNotices stop_callbacks_;
  const std::shared_ptr<ClosableSink> sink_;
  const std::shared_ptr<LogQueue> log_;
};

}  // namespace leasepool::detail
