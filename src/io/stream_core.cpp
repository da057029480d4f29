// What a descriptor is, and its end.
#include "io/stream_core.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/is_socket.hpp"
#include "io/io_checks.hpp"

namespace leasepool::detail {

namespace {

// A socket or a pipe that was taken for a file would bring SIGPIPE. Where fstat(2) is refused, other calls tell: only a
// file has a position.
StreamCore::Kind kind_of(int fd) noexcept {
  using enum StreamCore::Kind;
  struct stat status{};
  if (::fstat(fd, &status) == 0) {
    if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) return file;
    return S_ISSOCK(status.st_mode) ? socket : pipe;
  }
  if (is_socket(fd)) return socket;
  return ::lseek(fd, 0, SEEK_CUR) < 0 && errno == ESPIPE ? pipe : file;
}

}  // namespace

std::shared_ptr<StreamCore> StreamCore::make(std::shared_ptr<LoopCore> loop, UniqueFd fd, std::string about) {
  auto core = std::make_shared<StreamCore>(std::move(loop), std::move(fd), std::move(about));
  core->loop_->attach(*core);
  return core;
}

StreamCore::StreamCore(std::shared_ptr<LoopCore> loop, UniqueFd fd, std::string about)
    : loop_(std::move(loop)),
      fd_(std::move(fd)),
      about_(std::move(about)),
      kind_(kind_of(fd_.get())),
      reader_(*this),
      writer_(*this) {}

void StreamCore::check(const char* verb, const IoOptions& options) const {
  check_verb(*loop_, verb, options.timeout);
  if (closed_) throw_closed(verb, "the Stream");
}

std::string StreamCore::what(const char* verb) const noexcept {
  return in_words_if_room([&] { return std::string(verb) + " " + (about_.empty() ? name_of(fd_.get()) : about_); });
}

void StreamCore::cancel_wait(std::uint64_t wait) noexcept {
  reader_.cancel_wait(wait);
  writer_.cancel_wait(wait);
}

void StreamCore::close() noexcept {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  loop_->detach(*this);
  reader_.close();
  writer_.close();
  operation_ended();
}

void StreamCore::operation_ended() noexcept {
  if (closed_ && !reader_.in_flight() && !writer_.in_flight()) fd_.reset();
}

}  // namespace leasepool::detail
