// Claims set, cleared and outlived.
#include "processes/sent_calls.hpp"

#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

template <std::predicate<const SentCalls::Call&> Holds>
const SentCalls::Call* SentCalls::find_if(const Holds& holds) const noexcept {
  for (std::uint64_t number = first_; number != sent_; ++number) {
    const Call& call = places_[number % WorkerStatus::kClaims];
    if (holds(call)) return &call;
  }
  return nullptr;
}

const SentCalls::Call* SentCalls::with_id(std::uint64_t call_id) const noexcept {
  return find_if([&](const Call& call) { return call.id == call_id && !call.taken_back; });
}

const SentCalls::Call* SentCalls::due() const noexcept {
  return find_if([](const Call& call) { return !call.taken_back; });
}

// When it is empty, at most kMaxPrefetch places are taken by calls that were sent ahead and taken back: one that is due
// is not.
void SentCalls::add(std::unique_ptr<Job> job, const SentCall& sent) noexcept {
  static_assert(kMaxPrefetch < WorkerStatus::kClaims);
  check(job != nullptr, "a call that is sent has somebody who waits for it");
  check(size() < WorkerStatus::kClaims, "each call that was sent has a claim of its own");
  Call& call = place(sent_++);
  call = {.id = job->state.id, .sent = sent, .job = std::move(job)};
  claim_of(call).store(call.id, std::memory_order_release);
  ++live_;
  bytes_ += sent.size;
  large_ += sent.is_large ? 1 : 0;
  backlog_ += sent.expected;
}

void SentCalls::subtract(const SentCall& sent) noexcept {
  check(live_ > 0, "a call that was sent ends once");
  check(bytes_ >= sent.size && (!sent.is_large || large_ > 0), "what calls were sent is counted");
  --live_;
  bytes_ -= sent.size;
  large_ -= sent.is_large ? 1 : 0;
  backlog_ -= sent.expected;
}

// Half of the claims stay free: an idle worker can be sent a call however many it has still to pass over.
bool SentCalls::has_credit() noexcept {
  static_assert(kMaxPrefetch <= WorkerStatus::kClaims / 2);
  if (size() >= kMaxPrefetch || bytes_ >= kMaxBytesAhead) {
    filling_ = false;
  } else if (size() <= kMaxPrefetch / 2 && bytes_ <= kMaxBytesAhead / 2) {
    filling_ = true;
  }
  return filling_;
}

bool SentCalls::is_short_with(std::size_t more) const noexcept {
  const auto live = static_cast<std::int64_t>(live_);
  return backlog_ * (live + static_cast<std::int64_t>(more)) < WorkerPort::kMaxPrefetchWait * live;
}

bool SentCalls::holds(const Job& job) const noexcept {
  return find_if([&](const Call& call) { return call.job.get() == &job; }) != nullptr;
}

Job* SentCalls::running() const noexcept {
  const Call* const call = due();
  return call == nullptr ? nullptr : call->job.get();
}

bool SentCalls::is_due(std::uint64_t call_id) const noexcept {
  const Call* const call = due();
  return call != nullptr && call->id == call_id;
}

FunctionId SentCalls::function_of(std::uint64_t call_id) const noexcept {
  const Call* const call = with_id(call_id);
  return call == nullptr ? 0 : call->sent.function;
}

const Job* SentCalls::find(std::uint64_t call_id) const noexcept {
  const Call* const call = with_id(call_id);
  return call == nullptr ? nullptr : call->job.get();
}

std::unique_ptr<Job> SentCalls::answered() noexcept {
  while (first_ != sent_ && place(first_).taken_back) ++first_;  // passed over, or a later one would not be answered
  check(first_ != sent_, "what is answered was sent");
  Call& call = place(first_++);
  subtract(call.sent);
  return std::move(call.job);
}

std::unique_ptr<Job> SentCalls::forget(const Job& job) noexcept {
  for (std::uint64_t number = first_; number != sent_; ++number) {
    if (Call& call = place(number); call.job.get() == &job) return std::move(call.job);
  }
  return nullptr;
}

IntrusiveQueue<Job> SentCalls::forget_all() noexcept {
  IntrusiveQueue<Job> forgotten;
  for (std::uint64_t number = first_; number != sent_; ++number) {
    if (Call& call = place(number); call.job) forgotten.push_back(std::move(call.job));
  }
  return forgotten;
}

bool SentCalls::wanted() const noexcept {
  return find_if([](const Call& call) { return call.job != nullptr; }) != nullptr;
}

Job* SentCalls::refuse(std::uint64_t number) noexcept {
  if (number < first_ || number >= sent_) return nullptr;
  Call& call = place(number);
  call.refused = true;
  return call.job.get();
}

bool SentCalls::due_is_refused() const noexcept {
  const Call* const call = due();
  return call != nullptr && call->refused;
}

// One that was refused is passed by clearing its claim, and does not run.
bool SentCalls::has_begun(std::uint64_t call_id) const noexcept {
  const Call* const call = with_id(call_id);
  return call != nullptr && !call->refused && claim_of(*call).load() != call_id;
}

std::unique_ptr<Job> SentCalls::recall(Call& call) noexcept {
  std::uint64_t unbegun = call.id;
  if (!claim_of(call).compare_exchange_strong(unbegun, 0)) return nullptr;
  call.taken_back = true;
  subtract(call.sent);
  return std::move(call.job);
}

std::unique_ptr<Job> SentCalls::recall(std::uint64_t call_id) noexcept {
  const Call* const first = due();
  for (std::uint64_t number = first_; number != sent_; ++number) {
    Call& call = place(number);
    if (call.id == call_id && call.job) return &call == first ? nullptr : recall(call);
  }
  return nullptr;
}

IntrusiveQueue<Job> SentCalls::recall_first(std::size_t count) noexcept {
  IntrusiveQueue<Job> taken;
  const Call* const first = due();
  for (std::uint64_t number = first_; number != sent_ && taken.size() < count; ++number) {
    Call& call = place(number);
    if (&call == first || call.taken_back || call.job == nullptr) continue;
    if (auto job = recall(call)) taken.push_back(std::move(job));
  }
  return taken;
}

}  // namespace leasepool::detail
