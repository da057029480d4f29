// A borrowed pool's calls: sent to the node, interrupted, and ended by what comes back.
#include <algorithm>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "leasepool/detail/access.hpp"
#include "remote/cluster_client.hpp"
#include "remote/failure.hpp"
#include "remote/remote_pool.hpp"
#include "shared/build_id.hpp"
#include "shared/exception_codec.hpp"
#include "shared/registry.hpp"

namespace leasepool::detail::remote {

namespace {

// So much work, by what functions took lately, is sent beyond what the node's workers run: it covers the way there and
// back. What takes longer waits here, where it is certain that it has not run.
constexpr Duration kSentAhead = std::chrono::milliseconds(5);

Error no_descriptors_cross(std::string_view function) noexcept {
  return Error::make(Errc::not_serializable, [&] {
    return "backend = remote: the arguments of " + std::string(function) +
           " have descriptors (Fd or SharedBuffer), which do not go to another machine; send the bytes themselves";
  });
}

// What is left of a bound of the time that has passed since.
Duration rest_of(Duration bound, TimePoint since, TimePoint now) noexcept {
  return bound == JobState::kNoTimeout ? bound : std::max(Duration(1), bound - (now - since));
}

}  // namespace

void RemotePool::submit(std::unique_ptr<Job> job) {
  queue(std::move(job));
  send();
}

void RemotePool::submit_batch(IntrusiveQueue<Job> jobs) {
  while (!jobs.empty()) queue(jobs.pop_front());
  send();
}

void RemotePool::queue(std::unique_ptr<Job> job) noexcept {
  check(!closing_, "a closing pool gets no jobs");
  if (phase_ == Phase::lost) return end_before_run(std::move(job), never_ran(*lost_));
  check(phase_ == Phase::held, "a pool gets jobs once it has started");
  job->state.waits_in_pool = true;
  queue_.push_back(std::move(job));
}

void RemotePool::send() noexcept {
  while (lease_ != nullptr && !queue_.empty()) {
    try {
      if (!send_first()) break;
    } catch (const std::bad_alloc&) {
      first_ = {};
      end_before_run(queue_.pop_front(), Error::out_of_memory());
    }
  }
  if (lease_ != nullptr && lease_->wants_to_write()) client_->pump_soon();
}

bool RemotePool::send_first() {
  const Job& job = queue_.front();
  if (first_.job != &job) {
    if (sent_.size() >= run_at_once() && !sends_ahead()) return false;
    Result<Encoded> encoded = encode(job);
    if (!encoded) {
      end_before_run(queue_.pop_front(), named(encoded.error()));
      return true;
    }
    first_ = *std::move(encoded);
  }
  if (!may_send(first_.head.function) || !lease_->has_room(first_.arguments.size())) return false;
  const TimePoint now = client_->scheduler().now();
  first_.head.timeout = job.state.timeout;
  first_.head.queue_timeout = rest_of(job.state.queue_timeout, job.state.submitted, now);
  std::map<std::uint64_t, Sent> place;  // made beforehand: what was sent is noted
  place.emplace(0, Sent{.job = nullptr, .function = first_.head.function});
  auto sent = place.extract(place.begin());
  sent.key() = push_first();
  if (lease_ == nullptr) return false;
  sent.mapped().job = queue_.pop_front();
  sent.mapped().job->state.waits_in_pool = false;
  sent_.insert(sent_.end(), std::move(sent));
  first_ = {};
  return true;
}

// Of a call that could be queued in part only nothing can be made any more, nor of what would follow it.
std::uint64_t RemotePool::push_first() noexcept {
  try {
    return lease_->push(first_.head, first_.arguments.view());
  } catch (const std::bad_alloc&) {
    client_->forget(*this);
    lost(Error::make(Errc::node_lost,
                     [this] { return "node " + node_ + " is given up: there was no memory for a call"; }));
    return 0;
  }
}

// Without memory it is not cancelled there; its outcome is then dropped when it comes.
void RemotePool::cancel_there(std::uint64_t number) noexcept {
  try {
    if (lease_ != nullptr) lease_->cancel(number);
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as it says
  }
}

// As many as run at once, and more where they are short; not where the node would run more than this manager allows.
bool RemotePool::may_send(FunctionId function) {
  const std::size_t workers = run_at_once();
  if (sent_.size() < workers) return true;
  if (!sends_ahead()) return false;
  const auto ahead = static_cast<Duration::rep>(sent_.size() + 1 - workers);
  return run_times_.expected(function) * ahead / static_cast<Duration::rep>(workers) < kSentAhead;
}

Result<RemotePool::Encoded> RemotePool::encode(const Job& job) const {
  Encoded encoded{.job = &job, .head = {}, .arguments = {}};
  Descriptors descriptors;
  const Result<FunctionId> function = job.encode(encoded.arguments, descriptors, max_arguments_);
  if (!function) return std::unexpected(function.error());
  if (!descriptors.empty()) return std::unexpected(no_descriptors_cross(job.function_name()));
  const RegisteredFunction* const known = find_function_by_id(*function);
  encoded.head.function = *function;
  encoded.head.signature = known == nullptr ? 0 : known->signature.load();
  return encoded;
}

bool RemotePool::withdraw(Job& job, const Error& error) {
  if (!job.state.waits_in_pool) return false;
  if (first_.job == &job) first_ = {};
  end_before_run(queue_.remove(job), error);
  send();
  return true;
}

bool RemotePool::interrupt(Job& job, Error error) {
  const auto sent = std::ranges::find_if(sent_, [&](const auto& one) { return one.second.job.get() == &job; });
  check(sent != sent_.end() && lease_ != nullptr, "a job that runs was sent");
  cancel_there(sent->first);
  auto taken = std::move(sent->second.job);
  sent_.erase(sent);
  end_at_lease(std::move(taken), std::move(error));
  send();
  client_->pump_soon();
  finish_if_empty();
  return true;
}

// Those that are known to have begun now.
void RemotePool::message_taken() {
  if (lease_ == nullptr || lease_->begun() <= begun_) return;
  const TimePoint now = client_->scheduler().now();
  for (auto at = sent_.upper_bound(begun_); at != sent_.end() && at->first <= lease_->begun(); ++at) {
    at->second.job->state.started.store(now, std::memory_order_relaxed);
  }
  begun_ = lease_->begun();
  send();
}

void RemotePool::outcome_came(const OutcomeHead& head, std::span<const std::byte> bytes) {
  const auto sent = sent_.find(head.call);
  if (sent == sent_.end()) return;  // it was interrupted
  const FunctionId function = sent->second.function;
  std::unique_ptr<Job> job = std::move(sent->second.job);
  sent_.erase(sent);
  const TimePoint now = client_->scheduler().now();
  if (head.may_have_run) {
    if (head.kind != OutcomeKind::failure) run_times_.ran(function, head.ran_for);
    job->state.started.store(std::max(job->state.submitted, now - std::min(head.ran_for, now.time_since_epoch())),
                             std::memory_order_relaxed);
    job->state.ended.store(now, std::memory_order_relaxed);
  }
  try {
    set_outcome(*job, head, bytes);
  } catch (const std::bad_alloc&) {
    job->fail(Error::out_of_memory());
  } catch (const DecodeError& error) {
    job->fail(named(Error(Errc::bad_payload, std::string("what came back is no outcome: ") + error.what())));
    end_at_lease(std::move(job));
    throw;
  }
  end_at_lease(std::move(job));
  send();
  finish_if_empty();
}

void RemotePool::set_outcome(Job& job, const OutcomeHead& head, std::span<const std::byte> bytes) const {
  switch (head.kind) {
    case OutcomeKind::value: return job.accept(bytes, {}, options_.decode_limits);
    case OutcomeKind::exception: return job.fail(decode_exception(job.function_name(), bytes));
    case OutcomeKind::failure: break;
  }
  const Error error = named(get_failure(bytes));
  job.fail(head.may_have_run ? error : Access::not_run(error));
}

// A build is named where it is what differs.
Error RemotePool::named(const Error& error) const noexcept {
  return Access::with_message(error, [&] {
    const Errc code = errc_of(error.code());
    const bool of_build =
        !error.may_have_run() && (code == Errc::unregistered_function || code == Errc::bad_payload) && build_ != 0;
    return "node " + node_ + (of_build ? " (build " + build_text(build_) + ")" : std::string()) + ": " +
           error.message();
  });
}

}  // namespace leasepool::detail::remote
