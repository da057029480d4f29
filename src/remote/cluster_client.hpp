// ClusterClient: what the remote pools of one manager share: the connection to the server, what is wanted of nodes, and
// a link to each node that lends something. Its life and its messages are in cluster_client.cpp, how pools are got in
// cluster_client_acquire.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "leasepool/options.hpp"
#include "loop/deferred.hpp"
#include "loop/kept_timer.hpp"
#include "loop/scheduler.hpp"
#include "nats/bus.hpp"
#include "pool/pool_source.hpp"
#include "remote/borrower.hpp"
#include "remote/cluster_peer.hpp"
#include "remote/frame.hpp"
#include "remote/manager_log.hpp"
#include "remote/wants.hpp"

namespace leasepool::detail::remote {

// Loop thread only.
class ClusterClient final : public PoolSource,
                            public nats::BusOwner,
                            public std::enable_shared_from_this<ClusterClient> {
 public:
  using MakeBus = std::function<std::shared_ptr<nats::Bus>(nats::BusOwner& owner, const std::string& name)>;

  // Draws its instance from `seed`.
  ClusterClient(std::shared_ptr<Scheduler> scheduler, const ManagerOptions& options, MakeBus make_bus,
                std::uint64_t seed);
  ~ClusterClient() override;

  [[nodiscard]] bool open(std::move_only_function<void(Result<void>)> ready) override;
  void close() noexcept override;
  [[nodiscard]] std::shared_ptr<Pool> make_pool(PoolOptions options) override;
  [[nodiscard]] bool borrows() const noexcept override { return true; }
  [[nodiscard]] std::optional<Duration> longest_answer() const noexcept override;
  void hurry(TimePoint until) noexcept override;
  void set_none_free(const NoneFree& none_free) override { none_free_ = none_free; }
  [[nodiscard]] std::string why_none() const override;
  void add_to(ManagerStats& stats) const override;
  void set_log(const Say& say) override { log_.set(say); }

  // Wants a pool for who then hears of it, until forget(). Throws std::bad_alloc.
  void seek(Borrower& borrower);
  // Ends the want or the lease. The borrower hears of nothing any more.
  void forget(const Borrower& borrower) noexcept;

  // Sends what is due, together, when this turn's callbacks have run.
  void pump_soon() noexcept;

  [[nodiscard]] Scheduler& scheduler() const noexcept { return *scheduler_; }
  [[nodiscard]] const RemoteOptions& options() const noexcept { return options_; }
  // For tests.
  [[nodiscard]] std::uint64_t refused_messages() const noexcept { return refused_; }
  [[nodiscard]] std::uint64_t instance() const noexcept { return instance_; }

  void bus_connected() override;
  void bus_disconnected(const Error& reason) override;
  void bus_has_room() override { pump_soon(); }
  void bus_refused(const Error& reason) override;

 private:
  using Peer = ClusterPeer;
  struct Seeking {
    Borrower* borrower = nullptr;
    TimePoint since{};
  };
  using Peers = std::map<std::uint64_t, Peer>;

  void finish_open(const Result<void>& result);
  void start_timed_out();

  void take_message(const nats::BusMessage& message);
  void take_frame(std::uint64_t from, const Frame& frame);
  void take_lease_frame(Peer& peer, const Frame& frame);
  void lose_lease(Peer& peer, std::uint64_t id, const Error& why) noexcept;
  void lose_peer(Peer& peer, const std::string& why) noexcept;
  void forget_idle_peers(TimePoint now) noexcept;

  // How pools are got.
  void take_join(const nats::BusMessage& message);
  void take_offer(std::uint64_t from, const Frame& frame);
  void take_grant(Peer& peer, const Frame& frame);
  [[nodiscard]] Peer& peer_of(std::uint64_t node, const std::string& name);
  void look_for_replaced(std::string_view host, std::uint64_t by, TimePoint now) noexcept;
  void ask(TimePoint now);
  void look_for_nodes() noexcept;
  void nobody_was_asked(std::string_view whom) noexcept;
  void note_asked(const Ask& ask, TimePoint now) noexcept;
  void node_is_busy(std::uint64_t want);
  void report_none_free();
  void renew_overdue(TimePoint now);
  void renew(std::map<std::uint64_t, Seeking>::iterator seeking);
  void tell_asked(std::uint64_t want, const std::vector<Ask>& asked) noexcept;
  [[nodiscard]] std::uint64_t next_id() noexcept { return ++last_id_; }

  void pump();
  void pump_once();
  void look_after(Peer& peer, TimePoint now);
  void arm(TimePoint now);
  [[nodiscard]] bool connected() const noexcept { return bus_ && bus_->state() == nats::BusState::connected; }
  void set_timer(TimePoint deadline) noexcept;

  // Publishes one frame; lost where that cannot be, as on any way.
  template <class PutBody>
  void say(const std::string& subject, std::uint64_t to, Frame frame, const std::string& reply,
           PutBody put_body) noexcept {
    try {
      Bytes body;
      put_body(body);
      frame.body = body.view();
      MessageWriter message(instance_, to);
      message.add(frame);
      (void)bus_->publish(subject, message.bytes(), reply);
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as if it was lost
    }
  }
  void say(const Peer& peer, const Frame& frame) noexcept {
    say(peer.subject, peer.link.peer(), frame, peer.reply, [](Bytes&) {});
  }

  const std::shared_ptr<Scheduler> scheduler_;
  const RemoteOptions options_;
  const std::string manager_;
  const std::size_t max_payload_;
  const Duration start_timeout_;
  const MakeBus make_bus_;
  std::mt19937_64 random_;
  const std::uint64_t instance_;
  const std::string address_;  // with a dot behind it
  std::uint64_t build_ = 0;    // that is asked for; 0: any
  std::shared_ptr<nats::Bus> bus_;
  std::unique_ptr<Notice<void>> opening_;
  std::optional<Error> last_reason_;  // why it is not connected
  ManagerLog log_;
  NoneFree none_free_;
  TimePoint reconnected_at_{};
  bool was_connected_ = false;
  bool nobody_listens_ = false;  // on the subject of all nodes
  Wants wants_;
  std::map<std::uint64_t, Seeking> seeking_;  // by want
  Peers peers_;                               // by instance
  std::optional<TimePoint> all_asked_at_;     // whether they have a pool at once
  std::uint64_t last_id_ = 0;
  std::uint64_t refused_ = 0;
  TimePoint hurry_until_{};
  KeptTimer timer_{*scheduler_};
  KeptTimer start_timer_{*scheduler_};
  DeferredMember<ClusterClient, &ClusterClient::pump> pumps_;
  DeferredMember<ClusterClient, &ClusterClient::report_none_free> reports_none_free_;
};

}  // namespace leasepool::detail::remote
