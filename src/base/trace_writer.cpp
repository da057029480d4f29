// Events go into the file over the end of its array, with a new end behind them, as one write.
#include "base/trace_writer.hpp"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <new>
#include <utility>

#include "base/file_size_limit.hpp"

namespace leasepool::detail {

namespace {

// So long events are collected, unless there are many.
constexpr Duration kCollects = std::chrono::milliseconds(100);
constexpr std::size_t kMany = std::size_t{256} << 10;

}  // namespace

TraceWriter::Added TraceWriter::add(std::string_view events, std::size_t most_waiting) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() + events.size() > most_waiting) return Added::dropped;
  const bool were_many = waiting_.size() >= kMany;
  waiting_.append(events);
  if (!were_many && waiting_.size() >= kMany) changed_.notify_all();
  return std::exchange(is_asked_, true) ? Added::waits : Added::is_first;
}

void TraceWriter::write() noexcept {
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kCollects, [this] { return hurries_ || waiting_.size() >= kMany; });
    writing_.swap(waiting_);
    is_asked_ = false;
    is_writing_ = true;
  }
  int error = error_;
  const std::size_t size = writing_.size();
  if (error == 0 && size != 0) {
    try {
      writing_.append(kEnd);
      error = write_at(offset_, writing_);
    } catch (const std::bad_alloc&) {
      error = ENOMEM;
    }
    if (error == 0) {
      offset_ += size;
    } else if (::ftruncate(file_.get(), static_cast<off_t>(offset_)) == 0) {
      (void)write_at(offset_, offset_ == 0 ? "[]\n" : kEnd);  // so that what was there before is whole
    }
    error_.store(error, std::memory_order_relaxed);
  }
  writing_.clear();
  const std::lock_guard lock(mutex_);
  is_writing_ = false;
  changed_.notify_all();
}

void TraceWriter::finish(Duration patience) noexcept {
  {
    std::unique_lock lock(mutex_);
    hurries_ = true;
    changed_.notify_all();
    if (!changed_.wait_for(lock, patience, [this] { return !is_asked_ && !is_writing_; })) return;
    if (waiting_.empty()) return;
  }
  write();  // there was no thread for it
}

void TraceWriter::take_back() noexcept {
  const std::lock_guard lock(mutex_);
  is_asked_ = false;
}

// Beyond RLIMIT_FSIZE it fails without the signal.
int TraceWriter::write_at(std::uint64_t offset, std::string_view bytes) noexcept {
  if (room_below_file_size_limit(file_.get(), offset) < bytes.size()) return EFBIG;
  if (::lseek(file_.get(), static_cast<off_t>(offset), SEEK_SET) < 0) return errno;
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : EIO;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

}  // namespace leasepool::detail
