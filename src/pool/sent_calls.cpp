// Claims set, cleared and outlived.
#include "pool/sent_calls.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

void SentCalls::add(std::unique_ptr<Job> job, const SentCall& sent) {
  check(calls_.size() < WorkerStatus::kClaims, "each call that was sent has a claim of its own");
  const std::uint64_t id = job->booking.id;
  const std::uint64_t number = sent_++;
  status_->claims[number % WorkerStatus::kClaims].store(id, std::memory_order_release);
  calls_.push_back({.id = id, .number = number, .sent = sent, .job = std::move(job)});
  ++live_;
  bytes_ += sent.size;
  large_ += sent.is_large ? 1 : 0;
  backlog_ += sent.expected;
}

void SentCalls::subtract(const SentCall& sent) noexcept {
  --live_;
  bytes_ -= sent.size;
  large_ -= sent.is_large ? 1 : 0;
  backlog_ -= sent.expected;
}

// Half of the claims stay free: an idle worker can be sent a call however many it has still to pass over.
bool SentCalls::room_ahead() noexcept {
  static_assert(kMostAhead <= WorkerStatus::kClaims / 2);
  if (calls_.size() >= kMostAhead || bytes_ >= kMostBytesAhead) {
    filling_ = false;
  } else if (calls_.size() <= kMostAhead / 2 && bytes_ <= kMostBytesAhead / 2) {
    filling_ = true;
  }
  return filling_;
}

bool SentCalls::is_short_with(std::size_t more) const noexcept {
  const auto live = static_cast<std::int64_t>(live_);
  return backlog_ * (live + static_cast<std::int64_t>(more)) < kLongestWaitAhead * live;
}

bool SentCalls::holds(const Job& job) const noexcept {
  return std::ranges::any_of(calls_, [&](const Call& call) { return call.job.get() == &job; });
}

const SentCalls::Call* SentCalls::first() const noexcept {
  const auto found = std::ranges::find_if(calls_, [](const Call& call) { return !call.taken_back; });
  return found == calls_.end() ? nullptr : &*found;
}

Job* SentCalls::running() const noexcept {
  const Call* const call = first();
  return call == nullptr ? nullptr : call->job.get();
}

bool SentCalls::is_due(std::uint64_t call_id) const noexcept {
  const Call* const call = first();
  return call != nullptr && call->id == call_id;
}

FunctionId SentCalls::function_of(std::uint64_t call_id) const noexcept {
  const auto found = std::ranges::find(calls_, call_id, &Call::id);
  return found == calls_.end() ? 0 : found->sent.function;
}

const Job* SentCalls::find(std::uint64_t call_id) const noexcept {
  const auto found = std::ranges::find_if(calls_, [&](const Call& call) { return call.id == call_id && call.job; });
  return found == calls_.end() ? nullptr : found->job.get();
}

std::unique_ptr<Job> SentCalls::answered() {
  while (calls_.front().taken_back) calls_.pop_front();  // it was passed over, or a later one would not be answered
  Call call = std::move(calls_.front());
  calls_.pop_front();
  subtract(call.sent);
  return std::move(call.job);
}

std::unique_ptr<Job> SentCalls::forget(const Job& job) {
  const auto found = std::ranges::find_if(calls_, [&](const Call& call) { return call.job.get() == &job; });
  return found == calls_.end() ? nullptr : std::move(found->job);
}

std::vector<std::unique_ptr<Job>> SentCalls::forget_all() {
  std::vector<std::unique_ptr<Job>> forgotten;
  for (Call& call : calls_) {
    if (call.job) forgotten.push_back(std::move(call.job));
  }
  return forgotten;
}

bool SentCalls::wanted() const noexcept {
  return std::ranges::any_of(calls_, [](const Call& call) { return call.job != nullptr; });
}

bool SentCalls::has_begun(std::uint64_t call_id) const noexcept {
  const auto found = std::ranges::find(calls_, call_id, &Call::id);
  return found != calls_.end() && status_->claims[found->number % WorkerStatus::kClaims].load() != call_id;
}

std::unique_ptr<Job> SentCalls::take_back(Call& call) {
  std::uint64_t unbegun = call.id;
  if (!status_->claims[call.number % WorkerStatus::kClaims].compare_exchange_strong(unbegun, 0)) return nullptr;
  call.taken_back = true;
  subtract(call.sent);
  return std::move(call.job);
}

std::unique_ptr<Job> SentCalls::take_back(std::uint64_t call_id) {
  const auto found = std::ranges::find_if(calls_, [&](const Call& call) { return call.id == call_id && call.job; });
  return found == calls_.end() ? nullptr : take_back(*found);
}

std::vector<std::unique_ptr<Job>> SentCalls::take_back_first(std::size_t count) {
  std::vector<std::unique_ptr<Job>> taken;
  const Call* const due = first();
  for (Call& call : calls_) {
    if (taken.size() == count) break;
    if (&call == due || call.taken_back || call.job == nullptr) continue;
    if (auto job = take_back(call)) taken.push_back(std::move(job));
  }
  return taken;
}

}  // namespace leasepool::detail
