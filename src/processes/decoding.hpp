// Decoding: a large result on its way from a worker's bytes to its job, decoded on a thread beside the loop.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>

#include "base/background_thread.hpp"
#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/decode_limits.hpp"
#include "leasepool/detail/descriptors.hpp"
#include "leasepool/detail/job.hpp"
#include "loop/inbox.hpp"
#include "pool/trace_calls.hpp"
#include "wire/frame.hpp"

namespace leasepool::detail {

// The loop's thread makes it, has it run, and is told when it is done; another one decodes meanwhile. A value that
// nobody waits for any more is destroyed by that one, too.
class Decoding final : public BackgroundTask {
 public:
  // Has room for what take() takes; adds to the limits what this thread's stack allows. `done` is called on the loop's
  // thread. Throws std::bad_alloc.
  Decoding(const std::shared_ptr<Inbox>& inbox, std::unique_ptr<ResultDecoder> decoder, const Frame& frame,
           DecodeLimits limits, std::move_only_function<void()> done);
  ~Decoding() override;

  // The frame's payload and descriptors, and its bytes where it has some of its own.
  void take(const Frame& frame) noexcept;

  void run() noexcept override;
  // On the loop's thread, without telling.
  void run_here() noexcept;

  // Nobody waits for it. True if it has run: then it can be run again, to have it destroyed there.
  [[nodiscard]] bool abandon() noexcept;

  // Loop thread only, from here on.
  std::unique_ptr<Job> job;  // which it is for; null when somebody has taken that away
  TraceLane trace_lane{};    // of the worker whose it is
  [[nodiscard]] ResultDecoder& result() const noexcept { return *decoder_; }

 private:
  enum class State { waiting, done, abandoned };

  const std::shared_ptr<Inbox> inbox_;
  std::unique_ptr<ResultDecoder> decoder_;
  DecodeLimits limits_;
  Bytes bytes_;
  std::size_t begin_ = 0;  // of the payload
  Descriptors descriptors_;
  std::unique_ptr<Deferred> done_;
  std::atomic<bool> stop_ = false;
  std::atomic<State> state_ = State::waiting;
};

}  // namespace leasepool::detail
