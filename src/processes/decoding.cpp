// Bytes taken from a frame, and given to a decoder.
#include "processes/decoding.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.hpp"
#include "base/close_in_background.hpp"
#include "leasepool/detail/nesting.hpp"

namespace leasepool::detail {

Decoding::Decoding(const std::shared_ptr<Inbox>& inbox, std::unique_ptr<ResultDecoder> decoder, const Frame& frame,
                   DecodeLimits limits, std::move_only_function<void()> done)
    : inbox_(inbox),
      decoder_(std::move(decoder)),
      limits_(limits),
      done_(std::make_unique<DeferredFunction>(std::move(done))) {
  limits_.most_stack = room_for_nesting();  // as this thread is the one to move and to destroy the value
  limits_.abandoned = &stop_;
  if (frame.whole == nullptr) bytes_.reserve(frame.payload.size());
  descriptors_.reserve(frame.descriptors.size());
}

Decoding::~Decoding() { close_in_background(std::move(descriptors_)); }

void Decoding::take(const Frame& frame) noexcept {
  if (frame.whole == nullptr) {
    bytes_.append(frame.payload);
  } else {
    bytes_ = std::move(*frame.whole);
    check(bytes_.size() >= frame.payload.size(), "a frame that has its bytes to itself holds its payload");
    begin_ = bytes_.size() - frame.payload.size();
  }
  std::ranges::move(frame.descriptors, std::back_inserter(descriptors_));
}

void Decoding::run() noexcept {
  if (state_.load() == State::waiting) run_here();
  State waiting = State::waiting;
  if (!state_.compare_exchange_strong(waiting, State::done)) decoder_.reset();
  if (done_) inbox_->post(std::move(done_));
}

void Decoding::run_here() noexcept {
  decoder_->decode(bytes_.view().subspan(begin_), descriptors_, limits_);
  bytes_ = Bytes();
  close_in_background(std::exchange(descriptors_, {}));
}

bool Decoding::abandon() noexcept {
  stop_.store(true, std::memory_order_relaxed);
  return state_.exchange(State::abandoned) == State::done;
}

}  // namespace leasepool::detail
