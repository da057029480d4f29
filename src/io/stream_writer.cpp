// What is left to write, and how it goes to what the stream is.
#include "io/stream_writer.hpp"

#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>
#include <stdexcept>
#include <utility>

#include "base/check.hpp"
#include "base/file_size_limit.hpp"
#include "base/write_without_signal.hpp"
#include "io/io_checks.hpp"
#include "io/stream_core.hpp"

namespace leasepool::detail {

std::shared_ptr<StreamWriter> StreamWriter::shared_from_stream() noexcept { return {stream_.shared_from_this(), this}; }

std::uint64_t StreamWriter::write(Parts parts, IoOptions options, IoCallback<void> done) {
  if (wait_) {
    throw std::logic_error("leasepool: " + stream_.what("write to") +
                           ": another write to this Stream has not ended; await it first");
  }
  parts_.clear();
  parts_.reserve(parts.size());
  for (const auto part : parts) {
    if (part.empty()) continue;
    // Written from. NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
    parts_.push_back({.iov_base = const_cast<std::byte*>(part.data()), .iov_len = part.size()});
  }
  const std::uint64_t number = stream_.new_wait();
  wait_.emplace(Wait{.number = number,
                     .timeout = options.timeout,
                     .deadline = deadline_after(stream_.loop().now(), options.timeout),
                     .done = std::move(done)});
  if (was_cancelled_) {
    end(std::unexpected(
        cancelled_io(stream_.what("write to"), "a write before was cancelled, and may have been sent in part")));
  } else if (is_shut_down_) {
    fail(EPIPE, false);
  } else {
    go_on();
  }
  return number;
}

void StreamWriter::go_on() { wait_->next_part == parts_.size() ? end({}) : start_operation(); }

void StreamWriter::start_operation() {
  check(operation_ == 0, "a stream is written by one operation at a time");
  const std::uint32_t number = ++operations_;
  auto handler = [self = shared_from_stream(), number](Completion completion) { self->completed(number, completion); };
  only_polls_ = stream_.kind() == StreamCore::Kind::pipe;
  try {
    switch (stream_.kind()) {
      case StreamCore::Kind::socket: operation_ = start_on_socket(std::move(handler)); break;
      case StreamCore::Kind::pipe:
        operation_ = stream_.loop().engine().poll(stream_.fd(), POLLOUT, std::move(handler), wait_->deadline);
        break;
      case StreamCore::Kind::file: operation_ = start_on_file(std::move(handler)); break;
    }
  } catch (const std::bad_alloc&) {
    end(std::unexpected(with_transferred(Error::out_of_memory(), wait_->written)));
  }
}

OperationId StreamWriter::start_on_socket(CompletionHandler handler) {
  const auto left = std::span(parts_).subspan(wait_->next_part);
  Engine& engine = stream_.loop().engine();
  if (left.size() == 1) {
    const std::span bytes(static_cast<const std::byte*>(left[0].iov_base), left[0].iov_len);
    return engine.send(stream_.fd(), bytes, std::move(handler), wait_->deadline);
  }
  message_ = {};
  message_.msg_iov = left.data();
  message_.msg_iovlen = std::min<std::size_t>(left.size(), IOV_MAX);
  return engine.sendmsg(stream_.fd(), &message_, std::move(handler), wait_->deadline);
}

// The signal that comes with a file that is too large would end the program.
OperationId StreamWriter::start_on_file(CompletionHandler handler) {
  const iovec& part = parts_[wait_->next_part];
  const std::size_t room = room_below_file_size_limit(stream_.fd());
  if (room == 0) {
    fail(EFBIG, false);
    return 0;
  }
  const std::span bytes(static_cast<const std::byte*>(part.iov_base), std::min({part.iov_len, kChunk, room}));
  chunk_.assign(bytes.begin(), bytes.end());
  return stream_.loop().engine().start(
      {.kind = Operation::Kind::write, .fd = stream_.fd(), .data = chunk_.data(), .size = chunk_.size()},
      std::move(handler), wait_->deadline);
}

void StreamWriter::completed(std::uint32_t number, Completion completion) {
  if (number != operations_ || operation_ == 0) return;  // it was reaped when it was cancelled
  operation_ = 0;
  if (stream_.closed()) return stream_.operation_ended();
  if (!wait_ || wait_->result) return;
  if (completion.result < 0) return fail(-completion.result, completion.timed_out);
  if (only_polls_ && stream_.kind() == StreamCore::Kind::pipe) return write_to_pipe();
  if (!only_polls_) advance(static_cast<std::size_t>(completion.result));
  if (completion.timed_out && wait_->next_part != parts_.size()) return fail(ETIME, true);
  go_on();
}

void StreamWriter::write_to_pipe() {
  const iovec& part = parts_[wait_->next_part];
  const ssize_t written =
      write_without_signal(stream_.fd(), {static_cast<const std::byte*>(part.iov_base), part.iov_len});
  if (written < 0 && errno != EAGAIN && errno != EINTR) return fail(errno, false);
  if (written > 0) advance(static_cast<std::size_t>(written));
  go_on();
}

void StreamWriter::advance(std::size_t written) {
  wait_->written += written;
  while (written != 0) {
    iovec& part = parts_[wait_->next_part];
    const std::size_t of_part = std::min(written, part.iov_len);
    part.iov_base = static_cast<std::byte*>(part.iov_base) + of_part;
    part.iov_len -= of_part;
    written -= of_part;
    if (part.iov_len == 0) ++wait_->next_part;
  }
}

void StreamWriter::fail(int error, bool timed_out) {
  const Wait& wait = *wait_;
  if (timed_out) {
    return end(std::unexpected(detail::timed_out(stream_.what("write to"), wait.timeout, wait.written)));
  }
  if (error == EINTR) return start_operation();
  if (error == EAGAIN) {  // it does not block, and the engine leaves it at that: wait for it
    const std::uint32_t number = ++operations_;
    only_polls_ = true;
    try {
      operation_ = stream_.loop().engine().poll(
          stream_.fd(), POLLOUT,
          [self = shared_from_stream(), number](Completion polled) { self->completed(number, polled); }, wait.deadline);
    } catch (const std::bad_alloc&) {
      end(std::unexpected(Error::out_of_memory()));
    }
    return;
  }
  end(std::unexpected(failed_call(error, stream_.what("write to"), wait.written)));
}

// Nothing of the caller's memory is used from here on.
void StreamWriter::stop_operation() noexcept {
  if (operation_ == 0) return;
  Engine& engine = stream_.loop().engine();
  if (stream_.kind() == StreamCore::Kind::file) return engine.cancel(operation_);
  const int result = engine.cancel_and_reap(std::exchange(operation_, 0));
  if (!only_polls_ && result > 0 && wait_) wait_->written += static_cast<std::size_t>(result);
}

void StreamWriter::cancel_wait(std::uint64_t wait) noexcept {
  if (!wait_ || wait_->number != wait) return;
  if (!wait_->result) was_cancelled_ = true;
  stop_operation();
  wait_.reset();
}

void StreamWriter::close() noexcept {
  stop_operation();
  if (!wait_ || wait_->result) return;
  const std::size_t written = wait_->written;
  end(std::unexpected(with_transferred(
      Error::make(Errc::cancelled, [&] { return stream_.what("write to") + ": the Stream was closed"; }), written)));
}

void StreamWriter::shut_down() noexcept {
  close();
  is_shut_down_ = true;
}

void StreamWriter::end(Result<void> result) noexcept {
  check(wait_ && !wait_->result, "a write ends once");
  wait_->result = std::move(result);
  if (auto queued = delivery_.to_queue(shared_from_stream())) stream_.loop().defer(std::move(queued));
}

void StreamWriter::deliver() {
  if (!wait_ || !wait_->result) return;  // it was cancelled on the way
  Wait ended = std::move(*wait_);
  wait_.reset();
  ended.done(*std::move(ended.result));
}

}  // namespace leasepool::detail
