// A borrowed pool's life: sought, lent, lost and given back.
#include "remote/remote_pool.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "leasepool/detail/access.hpp"
#include "remote/cluster_client.hpp"

namespace leasepool::detail::remote {

RemotePool::RemotePool(std::shared_ptr<ClusterClient> client, PoolOptions options)
    : client_(std::move(client)), options_(std::move(options)) {}

RemotePool::~RemotePool() {
  check(phase_ == Phase::made || phase_ == Phase::gone, "a pool is closed before it is let go");
}

void RemotePool::enter(Phase next) noexcept {
  const bool is_start = phase_ == Phase::made && next == Phase::seeking;
  const bool is_granted = phase_ == Phase::seeking && next == Phase::held;
  const bool is_lost = phase_ == Phase::held && next == Phase::lost;
  check(is_start || is_granted || is_lost || (next == Phase::gone && phase_ != Phase::gone),
        "a borrowed pool is sought, held, perhaps lost, and gone");
  phase_ = next;
}

void RemotePool::start(std::move_only_function<void(Result<void>)> ready) {
  client_->seek(*this);
  enter(Phase::seeking);
  ready_ = std::move(ready);
}

void RemotePool::granted(Loan loan) noexcept {
  enter(Phase::held);
  lease_ = &loan.lease;
  node_ = std::move(loan.node);
  build_ = loan.about.build;
  node_workers_ = std::max<std::size_t>(1, static_cast<std::size_t>(loan.about.workers));
  max_arguments_ = std::min(options_.max_payload, static_cast<std::size_t>(loan.about.max_payload));
  if (auto queued = reports_ready_.to_queue(shared_from_this())) client_->scheduler().defer(std::move(queued));
}

void RemotePool::report_ready() {
  if (auto ready = std::exchange(ready_, nullptr); ready && !closing_) ready({});
}

void RemotePool::lease_began(std::string_view owner, const LeaseTerms& terms) {
  if (lease_ == nullptr) return;  // lost, of which the manager is about to hear
  lease_->lend({.durations = {.until_soft = terms.until_soft, .grace = terms.grace}, .owner = std::string(owner)});
  is_lent_ = true;
  client_->pump_soon();
}

bool RemotePool::extend_lease(const LeaseTerms& terms, std::move_only_function<void()> holds) {
  if (lease_ == nullptr) return false;
  extensions_.push_back(std::move(holds));
  try {
    lease_->extend({.until_soft = terms.until_soft, .grace = terms.grace});
  } catch (...) {
    extensions_.pop_back();
    throw;
  }
  client_->pump_soon();
  return false;
}

void RemotePool::extension_holds() {
  if (extensions_.empty()) throw DecodeError("an extension that nobody asked for is confirmed");
  auto holds = std::move(extensions_.front());
  extensions_.pop_front();
  holds();
}

void RemotePool::lease_closed(CloseReason reason) {
  const auto because = [&](Errc code, std::string_view what) {
    return Error::make(code, [&] { return "node " + node_ + " " + std::string(what); });
  };
  client_->forget(*this);
  switch (reason) {
    case CloseReason::expired: return lost(because(Errc::lease_expired, "ended the lease at its hard expiry"));
    case CloseReason::stopped: return lost(because(Errc::node_lost, "was stopped"));
    case CloseReason::refused:
      return lost(because(Errc::node_lost, "ended the lease, as what came from here broke the protocol"));
    case CloseReason::ended: break;
  }
  lost(because(Errc::node_lost, "does not have the lease any more: it had not heard of this manager for long"));
}

// One that is lent goes back by itself.
void RemotePool::node_drains() {
  if (phase_ != Phase::held || is_lent_) return;
  const Error why = Error::make(Errc::node_lost, [this] { return "node " + node_ + " drains"; });
  client_->forget(*this);
  lost(why);
}

void RemotePool::lost(const Error& why) {
  if (phase_ != Phase::held) return;
  enter(Phase::lost);
  lost_ = why;
  end_sent(why);
  end_waiting(never_ran(why));
  lease_ = nullptr;
  if (closing_) return finish_if_empty();
  if (auto queued = reports_lost_.to_queue(shared_from_this())) client_->scheduler().defer(std::move(queued));
}

void RemotePool::report_lost() {
  if (!closing_) options_.lost(*lost_);
}

Error RemotePool::never_ran(const Error& why) noexcept {
  return Access::with_message(why, [&] { return why.message() + "; the call has not run"; });
}

// With the code that the loss has.
void RemotePool::end_sent(const Error& error) noexcept {
  const Error never = never_ran(error);
  const Error perhaps = Access::with_message(error, [&] {
    return error.message() +
           "; the call may have run, and what runs there ends at the lease's hard expiry at the latest";
  });
  for (auto& [number, sent] : std::exchange(sent_, {})) {
    const bool may_have_run = lease_ == nullptr || lease_->may_have_run(number);
    may_have_run ? end_at_lease(std::move(sent.job), perhaps) : end_before_run(std::move(sent.job), never);
  }
}

void RemotePool::end_waiting(const Error& error) noexcept {
  first_ = {};
  while (!queue_.empty()) end_before_run(queue_.pop_front(), error);
}

// As of a worker that is killed: the function may run on for as long as the message takes.
void RemotePool::abort(const Error& error, Ended /*ended*/) {
  end_waiting(error);
  for (auto& [number, sent] : std::exchange(sent_, {})) {
    if (!closing_) cancel_there(number);
    end_at_lease(std::move(sent.job), error);
  }
  client_->pump_soon();
  finish_if_empty();
}

void RemotePool::drain(const Error& error) noexcept {
  closing_ = true;
  ready_ = nullptr;
  end_waiting(error);
}

void RemotePool::close(std::move_only_function<void()> closed) noexcept {
  check(!closed_, "a pool is closed once");
  closed_ = std::move(closed);
  drain(closed_before_begun(options_.name));
  finish_if_empty();
}

void RemotePool::finish_if_empty() noexcept {
  if (!closed_ || !sent_.empty() || phase_ == Phase::gone) return;
  leave();
  if (auto queued = reports_closed_.to_queue(shared_from_this())) client_->scheduler().defer(std::move(queued));
}

void RemotePool::report_closed() {
  if (auto closed = std::exchange(closed_, nullptr)) closed();
}

// The node hears that the lease is over, and kills what runs.
void RemotePool::leave() noexcept {
  if (phase_ == Phase::gone) return;
  client_->forget(*this);
  lease_ = nullptr;
  extensions_.clear();
  enter(Phase::gone);
}

void RemotePool::kill() {
  end_all_sent(Error::make(Errc::cancelled, [&] { return options_.name + " was closed while the call ran"; }));
  finish_if_empty();
}

void RemotePool::end_all_sent(const Error& error) noexcept {
  for (auto& [number, sent] : std::exchange(sent_, {})) end_at_lease(std::move(sent.job), error);
}

void RemotePool::close_now(TimePoint /*deadline*/) noexcept {
  const auto self = shared_from_this();
  closed_ = nullptr;
  drain(closed_before_begun(options_.name));
  end_all_sent(Error::make(Errc::cancelled, [&] { return options_.name + " was closed while the call ran"; }));
  leave();
}

}  // namespace leasepool::detail::remote
