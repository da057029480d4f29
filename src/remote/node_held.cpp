// A manager's calls on the node's own lease.
#include "remote/node_held.hpp"

#include <new>
#include <utility>

namespace leasepool::detail::remote {

void NodeCore::Held::call_came(std::uint64_t call, const CallHead& head, std::span<const std::byte> arguments) {
  auto job = std::make_unique<RawJob>(weak_from_this(), call, head, arguments, most_result_);
  if (record() == nullptr) {  // an honest manager waits for the grant
    throw DecodeError("a call on a lease that is not granted yet");
  }
  CallSettings settings;
  if (head.timeout != Duration::max()) settings.options.timeout = head.timeout;
  if (head.queue_timeout != Duration::max()) settings.options.queue_timeout = head.queue_timeout;
  job->state.id = record()->new_call_id();
  ids_.emplace(call, job->state.id);
  record()->submit(std::move(job), settings);
}

void NodeCore::Held::lend_came(const LendBody& lending) {
  owner_ = lending.owner;
  since_ = node_->scheduler_->now();
  if (record() != nullptr) record()->owner = owner_;
}

void NodeCore::Held::cancel_came(std::uint64_t call) {
  const auto found = ids_.find(call);
  if (found == ids_.end() || record() == nullptr) return;
  record()->cancel_of_batch(found->second, Error(Errc::cancelled, "the manager took the call back"));
}

void NodeCore::Held::raw_job_begun(std::uint64_t call) {
  if (lease_ == nullptr) return;
  lease_->call_begun(call);
  node_->pump_soon();
}

void NodeCore::Held::raw_job_ended(const OutcomeHead& head, std::span<const std::byte> bytes) {
  if (lease_ == nullptr) return;
  ids_.erase(head.call);
  try {
    lease_->call_ended(head, bytes);
  } catch (const std::bad_alloc&) {
    failed = true;
  }
  node_->pump_soon();
}

void NodeCore::Held::abort(Errc code, const char* why) noexcept {
  if (record() == nullptr) return;
  const Error error = Error::make(code, [&] { return std::string(why); });
  record()->pool()->abort(error, Ended::are_included);
  record()->give_up_running(error);
}

}  // namespace leasepool::detail::remote
