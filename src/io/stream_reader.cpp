// What a read needs, from what is kept and from the descriptor.
#include "io/stream_reader.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <new>
#include <stdexcept>
#include <utility>

#include "base/check.hpp"
#include "io/io_checks.hpp"
#include "io/stream_core.hpp"

namespace leasepool::detail {

std::shared_ptr<StreamReader> StreamReader::shared_from_stream() noexcept { return {stream_.shared_from_this(), this}; }

std::uint64_t StreamReader::read(Goal goal, std::span<std::byte> into, std::string delimiter, IoOptions options,
                                 IoCallback<std::size_t> done) {
  if (wait_) {
    throw std::logic_error("leasepool: " + stream_.what("read from") +
                           ": another read of this Stream has not ended; await it first");
  }
  const std::uint64_t number = stream_.new_wait();
  wait_.emplace(Wait{.number = number,
                     .goal = goal,
                     .into = into,
                     .delimiter = std::move(delimiter),
                     .timeout = options.timeout,
                     .deadline = deadline_after(stream_.loop().now(), options.timeout),
                     .done = std::move(done)});
  if (lost_) {
    end(std::unexpected(Error::out_of_memory()));
  } else {
    go_on();
  }
  return number;
}

void StreamReader::go_on() {
  if (!take_kept() && operation_ == 0) start_operation();  // else what is in flight brings more
}

// Whether that was enough.
bool StreamReader::take_kept() {
  Wait& wait = *wait_;
  if (wait.goal == Goal::delimiter) return take_to_delimiter();
  const std::size_t count = std::min(kept().size(), wait.into.size() - wait.filled);
  if (count != 0) std::memcpy(wait.into.data() + wait.filled, kept().data(), count);
  consume(count);
  wait.filled += count;
  const bool enough = wait.filled == wait.into.size() || (wait.goal == Goal::some && wait.filled != 0);
  if (enough) end(wait.filled);
  return enough;
}

bool StreamReader::take_to_delimiter() {
  Wait& wait = *wait_;
  const auto bytes = kept();
  const auto delimiter = std::as_bytes(std::span(wait.delimiter));
  const std::size_t overlap = std::min(searched_, delimiter.size() - 1);
  const auto found = std::ranges::search(bytes.subspan(searched_ - overlap), delimiter);
  searched_ = bytes.size();
  const auto size = static_cast<std::size_t>(found.end() - bytes.begin());
  if (!found.empty() && size <= wait.into.size()) {
    std::memcpy(wait.into.data(), bytes.data(), size);
    consume(size);
    end(size);
    return true;
  }
  if (found.empty() && bytes.size() < wait.into.size()) return false;
  searched_ = 0;
  end(std::unexpected(with_transferred(Error::make(Errc::payload_too_large,
                                                   [&] {
                                                     return stream_.what("read_until from") +
                                                            ": no delimiter in the first " +
                                                            std::to_string(wait.into.size()) +
                                                            " bytes, which is all that the buffer holds";
                                                   }),
                                       bytes.size())));
  return true;
}

void StreamReader::start_operation() {
  check(operation_ == 0, "a stream is read by one operation at a time");
  Wait& wait = *wait_;
  const bool is_socket = stream_.kind() == StreamCore::Kind::socket;
  is_direct_ = is_socket && wait.goal != Goal::delimiter;
  operation_of_ = wait.number;
  const std::uint32_t number = ++operations_;
  auto handler = [self = shared_from_stream(), number](Completion completion) { self->completed(number, completion); };
  Engine& engine = stream_.loop().engine();
  try {
    std::span<std::byte> into = wait.into.subspan(wait.filled);
    if (!is_direct_) {
      chunk_.resize(kChunk);
      into = chunk_;
    }
    operation_ = engine.start({.kind = is_socket ? Operation::Kind::recv : Operation::Kind::read,
                               .fd = stream_.fd(),
                               .data = into.data(),
                               .size = into.size()},
                              std::move(handler), wait.deadline);
  } catch (const std::bad_alloc&) {
    end(std::unexpected(with_transferred(Error::out_of_memory(), wait.filled)));
  }
}

void StreamReader::completed(std::uint32_t number, Completion completion) {
  if (number != operations_ || operation_ == 0) return;  // it was reaped when it was cancelled
  operation_ = 0;
  if (!is_direct_) keep_chunk(completion.result);
  if (stream_.closed()) return stream_.operation_ended();
  if (!wait_ || wait_->result) return;
  if (lost_) return end(std::unexpected(Error::out_of_memory()));
  if (completion.result > 0) {
    if (is_direct_) wait_->filled += static_cast<std::size_t>(completion.result);
    if (take_kept()) return;
    if (completion.timed_out && operation_of_ == wait_->number) return fail(completion);
    return start_operation();
  }
  // It was started for another, who does not wait any more, and had a deadline of its own.
  const bool was_for_other =
      operation_of_ != wait_->number && (completion.timed_out || completion.result == -ECANCELED);
  if (was_for_other) return start_operation();
  completion.result == 0 ? at_end() : fail(completion);
}

// What was read when nobody waits any more, too.
void StreamReader::keep_chunk(int result) noexcept {
  if (result > 0) keep(std::span(chunk_).first(static_cast<std::size_t>(result)), false);
}

void StreamReader::at_end() {
  Wait& wait = *wait_;
  if (wait.goal == Goal::some) return end(std::size_t{0});
  const bool exactly = wait.goal == Goal::all;
  end(std::unexpected(with_transferred(
      Error::make(Errc::end_of_stream,
                  [&] {
                    return stream_.what(exactly ? "read_exactly from" : "read_until from") + ": " +
                           std::to_string(transferred()) + " bytes had come" +
                           (exactly ? " of " + std::to_string(wait.into.size()) : ", and no delimiter");
                  }),
      transferred())));
}

std::size_t StreamReader::transferred() const noexcept {
  return wait_->goal == Goal::delimiter ? kept().size() : wait_->filled;
}

void StreamReader::fail(const Completion& completion) {
  const Wait& wait = *wait_;
  const int error = -completion.result;
  if (completion.timed_out) {
    return end(std::unexpected(timed_out(stream_.what("read from"), wait.timeout, transferred())));
  }
  if (error == EINTR) return start_operation();
  if (error == EAGAIN) {  // it does not block, and the engine leaves it at that: wait for it
    is_direct_ = false;   // a poll uses no buffer, and its result counts no bytes
    const std::uint32_t number = ++operations_;
    try {
      operation_ = stream_.loop().engine().poll(
          stream_.fd(), POLLIN,
          [self = shared_from_stream(), number](Completion polled) { self->polled(number, polled); }, wait.deadline);
    } catch (const std::bad_alloc&) {
      end(std::unexpected(Error::out_of_memory()));
    }
    return;
  }
  end(std::unexpected(failed_call(error, stream_.what("read from"), transferred())));
}

void StreamReader::polled(std::uint32_t number, Completion completion) {
  if (number != operations_ || operation_ == 0) return;
  operation_ = 0;
  if (stream_.closed()) return stream_.operation_ended();
  if (!wait_ || wait_->result) return;
  const bool failed = completion.result < 0 && operation_of_ == wait_->number;
  failed ? fail(completion) : start_operation();
}

void StreamReader::cancel_wait(std::uint64_t wait) noexcept {
  if (!wait_ || wait_->number != wait) return;
  const Wait ended = std::move(*wait_);
  wait_.reset();
  std::size_t taken = ended.filled;
  if (ended.result && *ended.result) {
    taken = **ended.result;
  } else if (operation_ != 0 && is_direct_) {
    const int result = stream_.loop().engine().cancel_and_reap(std::exchange(operation_, 0));
    if (result > 0) taken += static_cast<std::size_t>(result);
  } else if (operation_ != 0) {
    stream_.loop().engine().cancel(operation_);
  }
  keep(ended.into.first(taken), true);
}

void StreamReader::close() noexcept {
  if (operation_ != 0 && is_direct_) {
    const int result = stream_.loop().engine().cancel_and_reap(std::exchange(operation_, 0));
    if (wait_ && result > 0) wait_->filled += static_cast<std::size_t>(result);
  } else if (operation_ != 0) {
    stream_.loop().engine().cancel(operation_);
  }
  if (!wait_ || wait_->result) return;
  end(std::unexpected(with_transferred(
      Error::make(Errc::cancelled, [&] { return stream_.what("read from") + ": the Stream was closed"; }),
      transferred())));
}

void StreamReader::keep(std::span<const std::byte> bytes, bool in_front) noexcept {
  if (bytes.empty()) return;
  if (kept_from_ > kept_.size() / 2) {
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(std::exchange(kept_from_, 0)));
  }
  try {
    const auto at = in_front ? kept_.begin() + static_cast<std::ptrdiff_t>(kept_from_) : kept_.end();
    kept_.insert(at, bytes.begin(), bytes.end());
    if (in_front) searched_ = 0;
  } catch (const std::bad_alloc&) {
    lost_ = true;
  }
}

void StreamReader::consume(std::size_t count) noexcept {
  kept_from_ += count;
  searched_ = 0;
  if (kept_from_ != kept_.size()) return;
  kept_.clear();
  kept_from_ = 0;
}

void StreamReader::end(Result<std::size_t> result) noexcept {
  check(wait_ && !wait_->result, "a read ends once");
  wait_->result = std::move(result);
  if (auto queued = delivery_.to_queue(shared_from_stream())) stream_.loop().defer(std::move(queued));
}

void StreamReader::deliver() {
  if (!wait_ || !wait_->result) return;  // it was cancelled on the way
  Wait ended = std::move(*wait_);
  wait_.reset();
  ended.done(*std::move(ended.result));
}

}  // namespace leasepool::detail
