// Writing lines, to a file or to /dev/full.
#include "log_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace lpbench::chaos {

namespace {

// Of an hour's lines nobody reads more.
constexpr std::uint64_t kMostBytes = std::uint64_t{16} << 20U;

int check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

}  // namespace

LogFile::LogFile(const std::string& file)
    : file_(check(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), file.c_str())),
      full_disk_(check(::open("/dev/full", O_WRONLY | O_CLOEXEC), "/dev/full")),
      standard_error_(check(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), "stderr")) {}

LogFile::~LogFile() {
  set_full(false);
  for (const int fd : {file_, full_disk_, standard_error_}) ::close(fd);
}

leasepool::LogSink LogFile::sink() {
  return [this](const leasepool::LogRecord& record) { write(record); };
}

void LogFile::set_full(bool full) {
  if (full != full_) ::dup2(full ? full_disk_ : standard_error_, STDERR_FILENO);
  full_ = full;
}

void LogFile::write(const leasepool::LogRecord& record) {
  std::string line(record.text);
  line += '\n';
  if (size_ > kMostBytes && ::ftruncate(file_, 0) == 0) size_ = 0;
  const ssize_t count = ::write(full_ ? full_disk_ : file_, line.data(), line.size());
  if (count != static_cast<ssize_t>(line.size())) {
    ++refused_;
    throw std::system_error(count < 0 ? errno : ENOSPC, std::generic_category(), "the log's disk");
  }
  ++written_;
  size_ += line.size();
}

}  // namespace lpbench::chaos
