// SentCalls: the calls that a worker process has been sent and has not answered, in order. The first of them runs;
// those behind it were sent ahead, so that the worker need not wait for its parent between two. A call can be taken
// back as long as the worker has not begun it: whoever is first to clear its claim in the page that they share, the
// worker or its parent, has it.
//
// There are as many places as claims. A call's place is free again when the worker has answered it or a later one, so
// no more are withdrawn than were sent behind one call that is to be answered: a call that the kernel refused to send
// is answered, too, by the worker's word that it has passed it.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/intrusive_queue.hpp"
#include "leasepool/detail/job.hpp"
#include "pool/worker_port.hpp"
#include "shared/status_page.hpp"

namespace leasepool::detail {

// What is known of a call beside its job.
struct SentCall {
  FunctionId function = 0;
  std::size_t size = 0;   // of what is sent, in bytes
  bool is_large = false;  // its arguments are in ArgumentMemory
  Duration expected{};    // to take
};

// Loop thread only.
class SentCalls {
 public:
  // How much may wait behind the call that runs.
  static constexpr std::size_t kMaxPrefetch = 128;
  static constexpr std::size_t kMaxBytesAhead = std::size_t{64} << 10;

  explicit SentCalls(WorkerStatus* status = nullptr) noexcept : status_(status) {}

  // Before its frame is sent: of one that is sent ahead, with has_credit(); of any other, when empty().
  void add(std::unique_ptr<Job> job, const SentCall& sent) noexcept;
  // What the next one's number among this worker's calls is. Its id may be that of one that was taken back.
  [[nodiscard]] std::uint64_t next_number() const noexcept { return sent_; }

  // Nothing is to be answered.
  [[nodiscard]] bool empty() const noexcept { return live_ == 0; }
  // Once it is half empty, until it is full: so that few sends do for many calls.
  [[nodiscard]] bool has_credit() noexcept;
  // Whether what is there will be done soon; and if so many more like that followed.
  [[nodiscard]] bool is_short() const noexcept { return backlog_ < WorkerPort::kMaxPrefetchWait; }
  [[nodiscard]] bool is_short_with(std::size_t more) const noexcept;
  [[nodiscard]] bool is_short_when_full() const noexcept {
    return is_short_with(kMaxPrefetch - std::min(live_, kMaxPrefetch));
  }
  // How many calls wait behind the one that runs, as far as is known.
  [[nodiscard]] std::size_t waiting() const noexcept { return live_ < 2 ? 0 : live_ - 1; }
  // Whether the arguments of one of them are in ArgumentMemory, and may still be read.
  [[nodiscard]] bool hold_argument_memory() const noexcept { return large_ != 0; }
  [[nodiscard]] bool holds(const Job& job) const noexcept;

  // The first call whose answer is due; null if nobody waits for it any more, or none is.
  [[nodiscard]] Job* running() const noexcept;
  // Null if nobody waits for it, or it was not sent.
  [[nodiscard]] const Job* find(std::uint64_t call_id) const noexcept;
  // Whether this is the call whose answer is due.
  [[nodiscard]] bool is_due(std::uint64_t call_id) const noexcept;
  // Of a call that was sent.
  [[nodiscard]] FunctionId function_of(std::uint64_t call_id) const noexcept;
  // The one that is due was answered: returns its job, if somebody waits for it.
  std::unique_ptr<Job> answered() noexcept;
  // Nobody waits for a call's answer any more; should it come, it is dropped.
  std::unique_ptr<Job> forget(const Job& job) noexcept;
  // The jobs of all calls that somebody waits for.
  IntrusiveQueue<Job> forget_all() noexcept;
  // Whether somebody waits for any.
  [[nodiscard]] bool wanted() const noexcept;

  // It could not be sent, and another frame takes its place in the line. Returns its job, which stays here until the
  // worker has passed that place; null if nobody waits for it any more.
  Job* refuse(std::uint64_t number) noexcept;
  // Whether the one that is due was.
  [[nodiscard]] bool due_is_refused() const noexcept;

  // Whether the worker has begun it, of one that was sent and not taken back.
  [[nodiscard]] bool has_begun(std::uint64_t call_id) const noexcept;

  // Null if the worker has begun it, or it is the one whose answer is due.
  std::unique_ptr<Job> recall(std::uint64_t call_id) noexcept;
  // In their order: the first `count` of those behind the call whose answer is due that the worker has not begun.
  IntrusiveQueue<Job> recall_first(std::size_t count) noexcept;

 private:
  struct Call {
    std::uint64_t id = 0;
    SentCall sent;
    std::unique_ptr<Job> job;
    bool taken_back = false;  // the worker passes over it
    bool refused = false;     // by the kernel; the worker passes over it and says so
  };

  // Of the worker's n-th call.
  [[nodiscard]] Call& place(std::uint64_t number) noexcept { return places_[number % WorkerStatus::kClaims]; }
  [[nodiscard]] std::atomic<std::uint64_t>& claim_of(const Call& call) const noexcept {
    return status_->claims[static_cast<std::size_t>(&call - places_.data())];
  }
  [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(sent_ - first_); }
  // In the order in which they were sent; null if it is none of them.
  template <std::predicate<const Call&> Holds>
  [[nodiscard]] const Call* find_if(const Holds& holds) const noexcept;
  // That was not taken back.
  [[nodiscard]] const Call* with_id(std::uint64_t call_id) const noexcept;
  [[nodiscard]] const Call* due() const noexcept;
  std::unique_ptr<Job> recall(Call& call) noexcept;
  void subtract(const SentCall& sent) noexcept;

  WorkerStatus* status_;
  std::array<Call, WorkerStatus::kClaims> places_;
  std::uint64_t first_ = 0;  // the number, among this worker's calls, of the first whose place is not free
  std::uint64_t sent_ = 0;   // the next one's
  std::size_t live_ = 0;     // that were not taken back
  std::size_t bytes_ = 0;    // of those
  std::size_t large_ = 0;    // the same
  Duration backlog_{};       // the same
  bool filling_ = true;
};

}  // namespace leasepool::detail
