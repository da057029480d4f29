// SentCalls: the calls that a worker process has been sent and has not answered, in order. The first of them runs;
// those behind it were sent ahead, so that the worker need not wait for its parent between two. A call can be taken
// back as long as the worker has not begun it: whoever is first to clear its claim in the page that they share, the
// worker or its parent, has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "leasepool/detail/job.hpp"
#include "pool/status_page.hpp"

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
  // How much may wait behind the call that runs; and for how long, unless it belongs to a batch.
  static constexpr std::size_t kMostAhead = 32;
  static constexpr std::size_t kMostBytesAhead = std::size_t{64} << 10;
  static constexpr Duration kLongestWaitAhead = std::chrono::microseconds(20);

  explicit SentCalls(WorkerStatus* status = nullptr) noexcept : status_(status) {}

  // Before its frame is sent.
  void add(std::unique_ptr<Job> job, const SentCall& sent);

  // Nothing is to be answered.
  [[nodiscard]] bool empty() const noexcept { return live_ == 0; }
  // Once it is half empty, until it is full: so that few sends do for many calls.
  [[nodiscard]] bool room_ahead() noexcept;
  // Whether what is there will be done soon; and if so many more like that followed.
  [[nodiscard]] bool is_short() const noexcept { return backlog_ < kLongestWaitAhead; }
  [[nodiscard]] bool is_short_with(std::size_t more) const noexcept;
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
  // It was answered: gives its job, if somebody waits for it.
  std::unique_ptr<Job> answered();
  // Nobody waits for a call's answer any more; should it come, it is dropped.
  std::unique_ptr<Job> forget(const Job& job);
  // The jobs of all calls that somebody waits for.
  std::vector<std::unique_ptr<Job>> forget_all();
  // Whether somebody waits for any.
  [[nodiscard]] bool wanted() const noexcept;

  // Whether the worker has begun it, of one that was sent and not taken back.
  [[nodiscard]] bool has_begun(std::uint64_t call_id) const noexcept;

  // Null if the worker has begun it.
  std::unique_ptr<Job> take_back(std::uint64_t call_id);
  // In their order: the first `count` of those behind the call whose answer is due that the worker has not begun.
  std::vector<std::unique_ptr<Job>> take_back_first(std::size_t count);

 private:
  struct Call {
    std::uint64_t id = 0;
    std::uint64_t number = 0;  // of this worker's calls
    SentCall sent;
    std::unique_ptr<Job> job;
    bool taken_back = false;  // the worker passes over it
  };

  [[nodiscard]] const Call* first() const noexcept;
  std::unique_ptr<Job> take_back(Call& call);
  void subtract(const SentCall& sent) noexcept;

  WorkerStatus* status_;
  std::deque<Call> calls_;
  std::size_t live_ = 0;   // that were not taken back
  std::size_t bytes_ = 0;  // of those
  std::size_t large_ = 0;  // the same
  Duration backlog_{};     // the same
  std::uint64_t sent_ = 0;
  bool filling_ = true;
};

}  // namespace leasepool::detail
