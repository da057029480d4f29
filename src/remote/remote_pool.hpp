// RemotePool: a pool of a node, borrowed for one lease, or kept ready for the next.
//
//   phase    | what it is                               | and then
//   ---------|------------------------------------------|------------------------------------
//   made     | start() was not called                   | seeking
//   seeking  | nodes are asked for a pool               | held; gone
//   held     | a node's pool is this one's              | lost; gone
//   lost     | the node is, or has ended it: broken()   | gone
//   gone     | closed: nothing is heard of it any more  |
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/intrusive_queue.hpp"
#include "loop/deferred.hpp"
#include "pool/pool.hpp"
#include "pool/run_times.hpp"
#include "remote/borrower.hpp"

namespace leasepool::detail::remote {

class ClusterClient;

// Loop thread only.
class RemotePool final : public Pool, public Borrower, public std::enable_shared_from_this<RemotePool> {
 public:
  RemotePool(std::shared_ptr<ClusterClient> client, PoolOptions options);
  RemotePool(const RemotePool&) = delete;
  RemotePool& operator=(const RemotePool&) = delete;
  ~RemotePool() override;

  void start(std::move_only_function<void(Result<void>)> ready) override;
  void submit(std::unique_ptr<Job> job) override;
  void submit_batch(IntrusiveQueue<Job> jobs) override;
  bool withdraw(Job& job, const Error& error) override;
  bool interrupt(Job& job, Error error) override;
  [[nodiscard]] bool broken() const noexcept override { return phase_ == Phase::lost; }
  void lease_began(std::string_view owner, const LeaseTerms& terms) override;
  [[nodiscard]] bool extend_lease(const LeaseTerms& terms, std::move_only_function<void()> holds) override;
  void abort(const Error& error, Ended ended) override;
  void drain(const Error& error) noexcept override;
  void close(std::move_only_function<void()> closed) noexcept override;
  void kill() override;
  void close_now(TimePoint deadline) noexcept override;

  void granted(Loan loan) noexcept override;
  void message_taken() override;
  void node_drains() override;
  void lost(const Error& why) override;
  void outcome_came(const OutcomeHead& head, std::span<const std::byte> bytes) override;
  void extension_holds() override;
  void lease_closed(CloseReason reason) override;

 private:
  enum class Phase : std::uint8_t { made, seeking, held, lost, gone };
  // The first of those that wait, as it is sent, once there is room for it.
  struct Encoded {
    const Job* job = nullptr;
    CallHead head;
    Bytes arguments;
  };
  struct Sent {
    std::unique_ptr<Job> job;
    FunctionId function = 0;
  };

  void enter(Phase next) noexcept;
  void queue(std::unique_ptr<Job> job) noexcept;
  void send() noexcept;
  // Whether the first of those that wait was sent, or has ended; false: it has to wait.
  [[nodiscard]] bool send_first();
  // Returns the number of the call; 0, and the lease is lost, where there is no memory for it.
  [[nodiscard]] std::uint64_t push_first() noexcept;
  [[nodiscard]] Result<Encoded> encode(const Job& job) const;
  [[nodiscard]] bool may_send(FunctionId function);
  [[nodiscard]] std::size_t run_at_once() const noexcept { return std::min(node_workers_, options_.workers); }
  // The node runs as many as its workers are, which this manager may not want.
  [[nodiscard]] bool sends_ahead() const noexcept { return node_workers_ <= options_.workers; }
  void cancel_there(std::uint64_t number) noexcept;
  void set_outcome(Job& job, const OutcomeHead& head, std::span<const std::byte> bytes) const;
  [[nodiscard]] Error named(const Error& error) const noexcept;
  void end_waiting(const Error& error) noexcept;
  // Those that were sent, as the lease is lost: each with whether it may have run.
  void end_sent(const Error& error) noexcept;
  void end_all_sent(const Error& error) noexcept;
  [[nodiscard]] static Error never_ran(const Error& why) noexcept;
  void finish_if_empty() noexcept;
  void leave() noexcept;
  void report_ready();
  void report_lost();
  void report_closed();

  const std::shared_ptr<ClusterClient> client_;
  const PoolOptions options_;
  Phase phase_ = Phase::made;
  bool closing_ = false;
  bool is_lent_ = false;
  ManagerLease* lease_ = nullptr;  // while it is held
  std::string node_;
  std::uint64_t build_ = 0;
  std::size_t node_workers_ = 1;
  std::size_t max_arguments_ = 0;
  IntrusiveQueue<Job> queue_;
  Encoded first_;
  std::map<std::uint64_t, Sent> sent_;  // by number
  std::uint64_t begun_ = 0;             // all up to it are known to have begun
  RunTimes run_times_;
  std::deque<std::move_only_function<void()>> extensions_;  // that are to be confirmed
  std::optional<Error> lost_;
  std::move_only_function<void(Result<void>)> ready_;
  std::move_only_function<void()> closed_;
  DeferredMember<RemotePool, &RemotePool::report_ready> reports_ready_;
  DeferredMember<RemotePool, &RemotePool::report_lost> reports_lost_;
  DeferredMember<RemotePool, &RemotePool::report_closed> reports_closed_;
};

}  // namespace leasepool::detail::remote
