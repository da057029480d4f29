// Reads and writes at a place, and what becomes of them when nobody waits any more.
#include "io/file_core.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "base/file_size_limit.hpp"
#include "io/io_checks.hpp"

namespace leasepool::detail {

std::shared_ptr<FileCore> FileCore::make(std::shared_ptr<LoopCore> loop, UniqueFd fd, std::string about) {
  auto core = std::make_shared<FileCore>(std::move(loop), std::move(fd), std::move(about));
  core->loop_->attach(*core);
  return core;
}

void FileCore::check(const char* verb, const IoOptions& options) const {
  check_verb(*loop_, verb, options.timeout);
  if (closed_) throw_closed(verb, "the File");
}

std::string FileCore::what(const char* verb) const noexcept {
  return in_words_if_room(
      [&] { return std::string(verb) + " " + (about_.empty() ? "descriptor " + std::to_string(fd_.get()) : about_); });
}

void FileCore::close() noexcept {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  loop_->detach(*this);
  for (auto at = operations_.begin(); at != operations_.end();) (*at++)->file_closed();
  if (operations_.empty()) fd_.reset();
}

void FileCore::remove(Operations::iterator place) noexcept {
  operations_.erase(place);
  if (closed_ && operations_.empty()) fd_.reset();
}

std::string FileOperation::what() const noexcept {
  if (verb_.kind != Operation::Kind::read && verb_.kind != Operation::Kind::write) return file_->what("sync of");
  return in_words_if_room([this] {
    const char* const verb = verb_.kind == Operation::Kind::read ? "read_at of" : "write_at to";
    return file_->what(verb) + " at " + std::to_string(verb_.offset);
  });
}

void FileOperation::begin() {
  place_ = file_->add(*this);
  if (verb_.asks_size) return end(size_of_file());
  const bool writes = verb_.kind == Operation::Kind::write;
  if (writes && file_->write_was_cancelled()) {
    return end(std::unexpected(
        cancelled_io(what(), "a write before was cancelled, and may have been written in part, or be written yet")));
  }
  const bool transfers = verb_.kind != Operation::Kind::sync;
  transfers&& size() == 0 ? end(std::size_t{0}) : go_on();
}

Result<std::size_t> FileOperation::size_of_file() const noexcept {
  struct stat status{};
  if (::fstat(file_->fd(), &status) == 0) return static_cast<std::size_t>(status.st_size);
  return std::unexpected(failed_call(errno, file_->what("size of")));
}

void FileOperation::go_on() noexcept {
  try {
    start();
  } catch (const std::bad_alloc&) {
    end(std::unexpected(with_transferred(Error::out_of_memory(), transferred_)));
  }
}

void FileOperation::start() {
  const std::uint64_t offset = verb_.offset + transferred_;
  std::size_t count = std::min(size() - transferred_, kChunk);
  if (verb_.kind == Operation::Kind::read) {
    chunk_.resize(count);
  } else if (verb_.kind == Operation::Kind::write) {
    // The signal that comes with a file that is too large would end the program.
    count = std::min(count, room_below_file_size_limit(file_->fd(), offset));
    if (count == 0) return end(std::unexpected(failed_call(EFBIG, what(), transferred_)));
    const auto part = verb_.from.subspan(transferred_, count);
    chunk_.assign(part.begin(), part.end());
  }
  operation_ = file_->loop().engine().start(
      {.kind = verb_.kind, .fd = file_->fd(), .data = chunk_.data(), .size = chunk_.size(), .offset = offset},
      [self = shared_from_this()](Completion completion) { self->completed(completion); }, deadline_);
}

void FileOperation::completed(Completion completion) noexcept {
  operation_ = 0;
  if (!done_ || result_) return file_->remove(place_);  // nobody waits for it any more
  if (completion.result < 0) {
    if (completion.timed_out) return end(std::unexpected(timed_out(what(), timeout_, transferred_)));
    if (completion.result == -EINTR) return go_on();
    return end(std::unexpected(failed_call(-completion.result, what(), transferred_)));
  }
  if (verb_.kind == Operation::Kind::sync) return end(std::size_t{0});
  take(static_cast<std::size_t>(completion.result));
  const bool ended = completion.result == 0 || transferred_ == size();
  if (ended && (verb_.kind == Operation::Kind::read || transferred_ == size())) return end(transferred_);
  if (completion.result == 0) return end(std::unexpected(failed_call(EIO, what(), transferred_)));
  if (completion.timed_out) return end(std::unexpected(timed_out(what(), timeout_, transferred_)));
  go_on();
}

void FileOperation::take(std::size_t count) noexcept {
  if (verb_.kind == Operation::Kind::read && count != 0) {
    std::memcpy(verb_.into.data() + transferred_, chunk_.data(), count);
  }
  transferred_ += count;
}

void FileOperation::cancel_wait(std::uint64_t /*the only one*/) noexcept {
  done_ = nullptr;
  if (operation_ == 0) return;
  if (verb_.kind == Operation::Kind::write) file_->cancel_writes();
  file_->loop().engine().cancel(operation_);
}

void FileOperation::file_closed() noexcept {
  if (operation_ == 0 || !done_ || result_) return;
  result_ = std::unexpected(cancelled_io(what(), "the File was closed", transferred_));
  if (auto queued = delivery_.to_queue(shared_from_this())) file_->loop().defer(std::move(queued));
  file_->loop().engine().cancel(operation_);
}

// Nothing is in flight.
void FileOperation::end(Result<std::size_t> result) noexcept {
  check(operation_ == 0 && !result_, "a verb of a file ends once, when nothing is in flight");
  result_ = std::move(result);
  if (auto queued = delivery_.to_queue(shared_from_this())) file_->loop().defer(std::move(queued));
  file_->remove(place_);
}

void FileOperation::deliver() {
  if (auto done = std::exchange(done_, nullptr)) done(*std::move(result_));
}

}  // namespace leasepool::detail
