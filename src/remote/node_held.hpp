// A lease that a node has given: the local lease behind it, and its calls. Part of NodeCore.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lease/lease_record.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/lease.hpp"
#include "remote/node_core.hpp"

namespace leasepool::detail::remote {

class NodeCore::Held final : public NodeLeaseSink, public RawJobSink, public std::enable_shared_from_this<Held> {
 public:
  Held(NodeCore& node, NodeLease& lease, const TakeBody& taken)
      : node_(&node),
        lease_(&lease),
        owner_(taken.owner),
        since_(node.scheduler_->now()),
        most_result_(std::min(node.options_.limits.max_payload, static_cast<std::size_t>(taken.max_payload))) {}

  void call_came(std::uint64_t call, const CallHead& head, std::span<const std::byte> arguments) override;
  void cancel_came(std::uint64_t call) override;
  void extension_came(const ExtendBody& /*extension*/) override {}
  void lend_came(const LendBody& lending) override;
  void end_came() override { ended = true; }
  void raw_job_begun(std::uint64_t call) override;
  void raw_job_ended(const OutcomeHead& head, std::span<const std::byte> bytes) override;

  // Ends what waits and kills what runs. Their outcomes follow.
  void abort(Errc code, const char* why) noexcept;
  // Whose it is, and since when.
  [[nodiscard]] const std::string& owner() const noexcept { return owner_; }
  [[nodiscard]] TimePoint since() const noexcept { return since_; }

  // Is told of nothing any more.
  void detach() noexcept {
    node_ = nullptr;
    lease_ = nullptr;
  }

  ExecutorLease local;  // empty until it is there
  std::optional<CloseReason> closes;
  bool ended = false;
  bool failed = false;  // there was no memory for an outcome: no more can be said of this lease

 private:
  [[nodiscard]] LeaseRecord* record() const noexcept { return Access::record(local).get(); }

  NodeCore* node_;
  NodeLease* lease_;
  std::string owner_;
  TimePoint since_;
  std::size_t most_result_;
  std::map<std::uint64_t, std::uint64_t> ids_;  // of calls, by number
};

}  // namespace leasepool::detail::remote
