// Pipes, read whenever there is something, so that a worker does not wait for whoever reads its lines.
#include "pool/worker_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "pool/worker_log.hpp"

namespace leasepool::detail {

namespace {

constexpr std::size_t kMostTailLines = 32;
constexpr std::size_t kMostTailBytes = 4096;

// Of one stream in one turn: a worker that floods it must not keep the loop from everything else.
constexpr std::size_t kMostBytesAtOnce = std::size_t{1} << 20;

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
  return {.read_end = above_standard_streams(std::move(pipe.read_end)),
          .write_end = above_standard_streams(std::move(pipe.write_end))};
}

}  // namespace

void LineSplitter::feed(std::string_view bytes, const LineHandler& line) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::size_t size = std::min({end, bytes.size(), kLongestLine - partial_.size()});
    const bool whole = size == end;
    if (partial_.empty() && (whole || size == kLongestLine)) {
      line(bytes.substr(0, size));
    } else {
      partial_.append(bytes.substr(0, size));
      if (whole || partial_.size() == kLongestLine) line(std::exchange(partial_, {}));
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
  streams_[0].pipe = std::make_shared<UniqueFd>(std::move(output.read_end));
  streams_[1].pipe = std::make_shared<UniqueFd>(std::move(error.read_end));
  for (Stream& stream : streams_) listen(stream);
  return {.standard_output = std::move(output.write_end), .standard_error = std::move(error.write_end)};
}

void WorkerOutput::listen(Stream& stream) {
  stream.poll = loop_.ring().poll(stream.pipe->get(), POLLIN,
                                  [self = shared_from_this(), pipe = stream.pipe, &stream](Completion completion) {
                                    stream.poll = 0;
                                    if (completion.result > 0 && self->line_) self->readable(stream);
                                  });
}

void WorkerOutput::readable(Stream& stream) {
  if (read(stream)) listen(stream);
}

// Gives whether more may come.
bool WorkerOutput::read(Stream& stream) {
  std::array<char, 16384> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled as far as it is used
  const auto line = [&](std::string_view text) { take(stream.source, text); };
  for (std::size_t total = 0; total < kMostBytesAtOnce;) {
    const ssize_t count = ::read(stream.pipe->get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    if (count == 0) {
      stream.splitter.finish(line);
      return false;
    }
    stream.splitter.feed({bytes.data(), static_cast<std::size_t>(count)}, line);
    total += static_cast<std::size_t>(count);
  }
  return true;
}

void WorkerOutput::take(LogSource source, std::string_view text) {
  if (source == LogSource::standard_output) return line_(source, LogLevel::info, text);
  const auto logged = parse_logged_line(text);
  keep_in_tail(logged ? logged->text : text);
  logged ? line_(LogSource::log, logged->level, logged->text) : line_(source, LogLevel::warning, text);
}

void WorkerOutput::keep_in_tail(std::string_view line) {
  tail_.emplace_back(line.substr(0, kMostTailBytes));
  tail_bytes_ += tail_.back().size();
  while (tail_.size() > kMostTailLines || tail_bytes_ > kMostTailBytes) {
    tail_bytes_ -= tail_.front().size();
    tail_.pop_front();
  }
}

void WorkerOutput::finish() {
  if (!line_) return;
  for (Stream& stream : streams_) {
    if (!stream.pipe) continue;
    (void)read(stream);
    stream.splitter.finish([&](std::string_view text) { take(stream.source, text); });
  }
  let_go();
}

void WorkerOutput::let_go() noexcept {
  line_ = {};
  for (Stream& stream : streams_) {
    loop_.ring().cancel(std::exchange(stream.poll, 0));
    stream.pipe.reset();
  }
}

std::string WorkerOutput::error_tail() const {
  std::string text;
  for (const std::string& line : tail_) text.append(text.empty() ? "" : "\n").append(line);
  return text;
}

}  // namespace leasepool::detail
