// A process pool's large results: decoded on a thread of the pool's, so that the loop goes on, and so do other pools'
// results where one takes long.
#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "processes/process_pool.hpp"

namespace leasepool::detail {

namespace {

// The thread stays for the next large result.
constexpr Duration kThreadKeptFor = std::chrono::seconds(1);

}  // namespace

// Those with descriptors, too: to close one may take long, and one that fails to decode closes them.
std::shared_ptr<Decoding> ProcessPool::prepare_decoding(const Worker& worker, const Job& job,
                                                        const Frame& frame) noexcept {
  const std::size_t threshold = options_.decode_thread_threshold;
  const bool is_large = frame.payload.size() > threshold || !frame.descriptors.empty();
  if (!is_large || threshold == SIZE_MAX) return nullptr;
  try {
    auto decoder = job.make_decoder();
    if (!decoder) return nullptr;
    if (!decoding_thread_) decoding_thread_ = std::make_unique<BackgroundThread>("leasepool-decod", kThreadKeptFor);
    decodings_.reserve(decodings_.size() + 1);
    auto place = std::make_shared<std::weak_ptr<Decoding>>();
    auto decoding = std::make_shared<Decoding>(loop_.inbox(), std::move(decoder), frame, options_.decode_limits,
                                               [weak = weak_from_this(), place, worker_id = worker.id()] {
                                                 if (const auto self = weak.lock())
                                                   self->decoding_done(worker_id, place->lock());
                                               });
    *place = decoding;
    decoding->trace_lane = worker.trace_lane;
    return decoding;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

std::unique_ptr<Job> ProcessPool::begin_decoding(const std::shared_ptr<Decoding>& decoding,
                                                 std::unique_ptr<Job> job) noexcept {
  decoding->job = std::move(job);
  decodings_.push_back(decoding);
  if (decoding_thread_->add(decoding)) return nullptr;
  decoding->run_here();
  auto ended = take_job_from(decoding);
  ended->accept(decoding->result());
  return ended;
}

// Null if nobody waits for it any more.
void ProcessPool::decoding_done(std::uint64_t worker_id, const std::shared_ptr<Decoding>& decoding) {
  if (decoding != nullptr && decoding->job != nullptr) {
    auto ended = take_job_from(decoding);
    ended->accept(decoding->result());
    end_call(decoding->trace_lane, std::move(ended));
  }
  if (const auto worker = find(worker_id)) worker->decoding_ended();
  finish_if_empty();
}

std::shared_ptr<Decoding> ProcessPool::decoding_of(const Job& job) const noexcept {
  const auto found =
      std::ranges::find_if(decodings_, [&](const auto& decoding) { return decoding->job.get() == &job; });
  return found == decodings_.end() ? nullptr : *found;
}

std::unique_ptr<Job> ProcessPool::take_job_from(const std::shared_ptr<Decoding>& decoding) noexcept {
  check(std::erase(decodings_, decoding) == 1, "a result that is decoded is waited for once");
  return std::move(decoding->job);
}

// Ends with the job that it is for, which the caller has taken or drops.
void ProcessPool::abandon(const std::shared_ptr<Decoding>& decoding) noexcept {
  if (decoding->abandon()) (void)decoding_thread_->add(decoding);
}

void ProcessPool::end_decodings(const Error& error) noexcept {
  while (!decodings_.empty()) {
    const auto decoding = decodings_.back();
    auto taken = take_job_from(decoding);
    abandon(decoding);
    end_call(decoding->trace_lane, std::move(taken), error);
  }
}

}  // namespace leasepool::detail
