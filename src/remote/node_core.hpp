// NodeCore: gives the pools of a local manager to managers elsewhere, through a bus. What they send is not trusted.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lease/manager_core.hpp"
#include "leasepool/node_stats.hpp"
#include "loop/deferred.hpp"
#include "loop/kept_timer.hpp"
#include "loop/scheduler.hpp"
#include "nats/bus.hpp"
#include "remote/acquire_bodies.hpp"
#include "remote/frame.hpp"
#include "remote/link.hpp"
#include "remote/node_lease.hpp"
#include "remote/offers.hpp"
#include "remote/raw_job.hpp"
#include "remote/subjects.hpp"

namespace leasepool::detail::remote {

struct NodeOptions {
  std::string cluster = "default";
  std::string pool = "default";
  std::string name;  // one token of a subject
  LeaseLimits limits{};
  Duration heartbeat = std::chrono::milliseconds(250);
  // A manager that was not heard for so long has ended, and what it had is killed.
  Duration manager_timeout = std::chrono::seconds(10);
};

// Loop thread only. The bus and the manager outlive its close().
class NodeCore final : public nats::BusOwner, public std::enable_shared_from_this<NodeCore> {
 public:
  NodeCore(std::shared_ptr<Scheduler> scheduler, std::shared_ptr<ManagerCore> manager, NodeOptions options,
           std::uint64_t instance);
  NodeCore(const NodeCore&) = delete;
  NodeCore& operator=(const NodeCore&) = delete;
  ~NodeCore() { close(); }

  // Listens on the bus. Throws std::bad_alloc.
  void attach(nats::Bus& bus);
  // Offers pools from now on: the manager has started.
  void lend();

  // Gives no more leases; `drained` is called, later, when there is none, and its manager has heard so. Once.
  void drain(std::move_only_function<void()> drained);
  // While it drains: leases take no more calls, and end when those that they have end, as the local manager that stops
  // sees to.
  void end_leases() noexcept;

  // Lets go of everything: what runs is killed, and managers find out by themselves.
  void close() noexcept;

  // Those that take calls.
  [[nodiscard]] std::size_t leases() const noexcept;
  [[nodiscard]] std::size_t free_pools() const noexcept;
  // What stats() of a node has of it.
  void add_stats(NodeStats& stats) const;
  [[nodiscard]] const Offers& offers() const noexcept { return offers_; }
  // Messages that were none of ours, or broke the protocol.
  [[nodiscard]] std::uint64_t refused_messages() const noexcept { return refused_; }
  [[nodiscard]] std::uint64_t instance() const noexcept { return instance_; }
  // Of the functions, as functions_build() has it.
  [[nodiscard]] std::uint64_t build() const noexcept { return build_; }
  [[nodiscard]] std::string address() const { return node_subject(options_.cluster, options_.name, instance_); }

  void bus_connected() override;
  void bus_disconnected(const Error& reason) override;
  void bus_has_room() override { pump_soon(); }
  void bus_refused(const Error& /*reason*/) override {}

 private:
  class Held;
  struct Peer {
    std::string address;
    Link<NodeLease> link;
    std::map<std::uint64_t, std::shared_ptr<Held>> held;
  };

  void take_message(const nats::BusMessage& message, bool to_all);
  void take_frame(Peer& peer, std::uint64_t from, const Frame& frame, bool to_all);
  [[nodiscard]] Peer* peer_of(std::uint64_t manager, std::string_view address);
  void take_want(const Peer& peer, const Offers::Want& want, const Frame& frame, TimePoint now);
  void take_offer(Peer& peer, std::uint64_t manager, const Frame& frame);
  void acquire(std::uint64_t manager, std::uint64_t id, const std::string& owner);
  void grant(const Peer& peer, std::uint64_t id) noexcept;
  [[nodiscard]] BusyBody who_has_pools(TimePoint now) const;
  void acquired(std::uint64_t manager, std::uint64_t id, Result<ExecutorLease> lease);
  void say(const Peer& peer, const Frame& frame) noexcept {
    say(peer, frame, [](Bytes&) {});
  }
  template <class PutBody>
  void say(const Peer& peer, Frame frame, PutBody put_body) noexcept {
    try {
      Bytes body;
      put_body(body);
      frame.body = body.view();
      MessageWriter message(instance_, peer.link.peer());
      message.add(frame);
      (void)bus_->publish(peer.address, message.bytes());
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as if it was lost
    }
  }
  void end_lease(Peer& peer, std::uint64_t id) noexcept;
  void offer_pools();
  void say_offer(const Peer& peer, const Offers::Offer& offer) noexcept;
  void announce() noexcept;
  void look_after(Peer& peer, TimePoint now);
  void pump_soon() noexcept;
  void pump();
  void pump_once();
  void arm();
  void set_timer(TimePoint deadline) noexcept;
  void finish_drain() noexcept;
  void refuse(Held& held, const char* why) noexcept;

  const std::shared_ptr<Scheduler> scheduler_;
  const std::shared_ptr<ManagerCore> manager_;
  const NodeOptions options_;
  const std::uint64_t instance_;
  nats::Bus* bus_ = nullptr;
  std::uint64_t build_ = 0;  // of its functions
  Offers offers_;
  std::map<std::uint64_t, Peer> peers_;  // by instance
  std::map<std::uint64_t, Peer*> busy_;  // those that have leases, or are to be told something
  const std::size_t max_kept_;           // bytes of a lease's outcomes that its manager has not said to have
  std::vector<nats::SubscriptionId> want_subscriptions_;
  std::uint64_t refused_ = 0;
  std::uint64_t wants_heard_ = 0;
  std::uint64_t granted_ = 0;
  std::uint64_t resent_before_ = 0;  // of leases that are gone
  KeptTimer timer_{*scheduler_};
  bool lends_ = false;
  bool announced_ = false;  // to managers
  bool draining_ = false;
  std::unique_ptr<DeferredFunction> drained_;  // until it is called
  DeferredMember<NodeCore, &NodeCore::pump> pumps_;
};

}  // namespace leasepool::detail::remote
