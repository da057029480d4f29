// Pipes, read whenever there is something, so that a worker does not wait for whoever reads its lines.
#include "processes/worker_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

namespace leasepool::detail {

namespace {

constexpr std::size_t kMaxTailLines = 32;
constexpr std::size_t kMaxTailBytes = 4096;

// For a pipe, where the system lets it have so much: what a function prints while the loop is busy waits here. No more,
// because all pipes of a user share an allowance (pipe-user-pages-soft, see pipe(7)).
constexpr int kPipeSize = 256 << 10;

// What is read of the pipe of a worker that is dead: a process that it left behind may be writing still.
constexpr std::size_t kMaxBytesAtEnd = std::size_t{1} << 20;

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "leasepool: pipe2");
  Pipe pipe{.read_end = UniqueFd(ends[0]), .write_end = UniqueFd(ends[1])};
  if (::fcntl(pipe.read_end.get(), F_SETFL, O_NONBLOCK) != 0) {
    throw std::system_error(errno, std::generic_category(), "leasepool: fcntl(F_SETFL)");
  }
  (void)::fcntl(pipe.read_end.get(), F_SETPIPE_SZ, kPipeSize);
  return {.read_end = above_standard_streams(std::move(pipe.read_end)),
          .write_end = above_standard_streams(std::move(pipe.write_end))};
}

}  // namespace

void LineSplitter::feed(std::string_view bytes, const LineHandler& line) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::size_t size = std::min({end, bytes.size(), kMaxLine - partial_.size()});
    const bool whole = size == end;
    if (partial_.empty() && (whole || size == kMaxLine)) {
      line(bytes.substr(0, size));
    } else {
      partial_.append(bytes.substr(0, size));
      if (whole || partial_.size() == kMaxLine) line(std::exchange(partial_, {}));
    }
    bytes.remove_prefix(whole ? size + 1 : size);
  }
}

void LineSplitter::finish(const LineHandler& line) {
  if (!partial_.empty()) line(std::exchange(partial_, {}));
}

WorkerOutput::WorkerEnds WorkerOutput::open() {
  Pipe output = make_pipe();
  Pipe error = make_pipe();
  streams_[0].pipe = std::move(output.read_end);
  streams_[1].pipe = std::move(error.read_end);
  for (Stream& stream : streams_) listen(stream);
  return {.standard_output = std::move(output.write_end), .standard_error = std::move(error.write_end)};
}

void WorkerOutput::listen(Stream& stream) {
  stream.poll =
      loop_.engine().poll(stream.pipe.get(), POLLIN, [self = shared_from_this(), &stream](Completion completion) {
        stream.poll = 0;
        if (completion.result > 0 && self->line_) self->readable(stream);
      });
}

// Lines for which there is no memory are dropped; those that come later are not.
void WorkerOutput::readable(Stream& stream) {
  try {
    if (take_some(stream)) return;
  } catch (const std::bad_alloc&) {
    drop(stream);
  }
  if (!stream.ended && line_) listen(stream);
}

// True when there is more of it for the next turn.
bool WorkerOutput::take_some(Stream& stream) {
  if (stream.unread.size() < kMaxBytesAtOnce) read(stream, kMaxBytesAtOnce - stream.unread.size());
  take_lines(stream);
  if (!stream.unread.empty()) {
    stream.next_turn = loop_.call_at(loop_.now(), [self = shared_from_this(), &stream] {
      stream.next_turn = 0;
      if (self->line_) self->readable(stream);
    });
    return true;
  }
  if (stream.ended) stream.splitter.finish([&](std::string_view text) { take(stream.source, text); });
  return false;
}

void WorkerOutput::drop(Stream& stream) noexcept {
  const auto lines = static_cast<std::uint64_t>(std::ranges::count(stream.unread, '\n'));
  stream.unread.clear();
  stream.splitter = {};
  try {
    dropped_(std::max<std::uint64_t>(lines, 1));
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then nobody is told
  }
}

void WorkerOutput::read(Stream& stream, std::size_t most) {
  const std::size_t enough = stream.unread.size() + most;
  std::array<char, 16384> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled as far as it is used
  while (!stream.ended && stream.unread.size() < enough) {
    stream.unread.reserve(stream.unread.size() + bytes.size());
    const ssize_t count =
        ::read(stream.pipe.get(), bytes.data(), std::min(bytes.size(), enough - stream.unread.size()));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    stream.ended = count <= 0;
    if (count > 0) stream.unread.append(bytes.data(), static_cast<std::size_t>(count));
  }
}

// As many as a turn may have.
void WorkerOutput::take_lines(Stream& stream) {
  std::string_view bytes = stream.unread;
  std::size_t lines = 0;
  std::size_t size = 0;
  while (size < bytes.size() && lines < kMaxLinesAtOnce) {
    const std::size_t end = bytes.find('\n', size);
    size = end == std::string_view::npos ? bytes.size() : end + 1;
    ++lines;
  }
  stream.splitter.feed(bytes.substr(0, size), [&](std::string_view text) { take(stream.source, text); });
  stream.unread.erase(0, size);
}

// What came last tells most of an end; the rest is counted.
void WorkerOutput::take_last_lines(Stream& stream) {
  std::string_view bytes = stream.unread;
  const auto lines = static_cast<std::size_t>(std::ranges::count(bytes, '\n'));
  if (lines > kMaxLinesAtOnce) {
    const std::size_t too_many = lines - kMaxLinesAtOnce;
    for (std::size_t i = 0; i < too_many; ++i) bytes.remove_prefix(bytes.find('\n') + 1);
    dropped_(too_many);
    stream.splitter = {};
  }
  const auto line = [&](std::string_view text) { take(stream.source, text); };
  stream.splitter.feed(bytes, line);
  stream.splitter.finish(line);
}

void WorkerOutput::take(LogSource source, std::string_view text) {
  if (source == LogSource::standard_output) return line_({.source = source, .level = LogLevel::info, .text = text});
  const auto logged = find_logged_line(text);
  const std::string_view printed = logged ? logged->before : text;
  if (!logged || !printed.empty()) {
    keep_in_tail(printed);
    line_({.source = source, .level = LogLevel::warning, .text = printed});
  }
  if (logged) {
    keep_in_tail(logged->text);
    line_({.source = LogSource::log, .level = logged->level, .text = logged->text, .origin = logged->origin});
  }
}

void WorkerOutput::keep_in_tail(std::string_view line) {
  tail_.emplace_back(line.substr(0, kMaxTailBytes));
  tail_bytes_ += tail_.back().size();
  while (tail_.size() > kMaxTailLines || tail_bytes_ > kMaxTailBytes) {
    tail_bytes_ -= tail_.front().size();
    tail_.pop_front();
  }
}

void WorkerOutput::finish() noexcept {
  if (!line_) return;
  for (Stream& stream : streams_) {
    if (!stream.pipe) continue;
    try {
      read(stream, kMaxBytesAtEnd);
      take_last_lines(stream);
    } catch (const std::bad_alloc&) {
      drop(stream);
    }
  }
  detach();
}

void WorkerOutput::detach() noexcept {
  line_ = {};
  for (Stream& stream : streams_) {
    loop_.engine().cancel(std::exchange(stream.poll, 0));
    loop_.cancel_timer(std::exchange(stream.next_turn, 0));
  }
}

std::string WorkerOutput::error_tail() const {
  std::string text;
  for (const std::string& line : tail_) text.append(text.empty() ? "" : "\n").append(line);
  return text;
}

}  // namespace leasepool::detail
