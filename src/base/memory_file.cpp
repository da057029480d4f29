// memfd_create(2), ftruncate(2) and F_ADD_SEALS.
#include "base/memory_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <utility>

namespace leasepool::detail {

const int kMemoryFileSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

namespace {

constexpr unsigned kNoExec = 8;  // MFD_NOEXEC_SEAL, of Linux 6.3

// Where the system wants to be told that nothing in it will be executed (vm.memfd_noexec), it is told.
UniqueFd open_memory(const char* name) noexcept {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd fd = try_above_standard_streams(UniqueFd(::memfd_create(name, kFlags)));
  if (fd || errno != EACCES) return fd;
  return try_above_standard_streams(UniqueFd(::memfd_create(name, kFlags | kNoExec)));
}

// The largest file that this process may have; to make a larger one is a SIGXFSZ.
std::uint64_t most_file_size() noexcept {
  rlimit limit{};
  return ::getrlimit(RLIMIT_FSIZE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

// 0 or an errno.
int set_size(int fd, std::size_t size) noexcept {
  if (size > most_file_size() || size > std::numeric_limits<off_t>::max()) return EFBIG;
  int result = 0;
  do {
    result = ::ftruncate(fd, static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

}  // namespace

MemoryFile make_memory_file(const char* name, std::size_t size) noexcept {
  UniqueFd fd = open_memory(name);
  if (!fd) return {.fd = {}, .failed = "memfd_create"};
  const char* failed = nullptr;
  int error = set_size(fd.get(), size);
  if (error != 0) {
    failed = "ftruncate";
  } else if (::fcntl(fd.get(), F_ADD_SEALS, kMemoryFileSeals) != 0) {
    failed = "fcntl(F_ADD_SEALS)";
    error = errno;
  }
  if (failed != nullptr) fd.reset();
  errno = error;
  return {.fd = std::move(fd), .failed = failed};
}

std::string name_failed_step(const MemoryFile& file, int error) {
  std::string step = file.failed;
  if (error == EFBIG) step += " (RLIMIT_FSIZE = " + std::to_string(most_file_size()) + "; raise ulimit -f)";
  if (error == EMFILE) step += " (raise ulimit -n)";
  return step;
}

}  // namespace leasepool::detail
