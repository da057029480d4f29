// close_range(2), /proc/self/fd, and all numbers that a descriptor may have.
#include "worker/close_descriptors.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

#include "base/check.hpp"
#include "base/unique_fd.hpp"

namespace leasepool::detail {

namespace {

constexpr std::size_t kMaxKept = 8;

// In ascending order.
struct Kept {
  std::array<int, kMaxKept> fds{};
  std::size_t size = 0;

  void add(int fd) noexcept {
    check(size < fds.size(), "so many descriptors are kept");
    std::size_t at = size++;
    for (; at > 0 && fds[at - 1] > fd; --at) fds[at] = fds[at - 1];
    fds[at] = fd;
  }
  [[nodiscard]] bool has(int fd) const noexcept {
    return fd <= STDERR_FILENO || std::ranges::find(fds.begin(), fds.begin() + size, fd) != fds.begin() + size;
  }
};

bool close_ranges(const Kept& kept) noexcept {
  unsigned from = STDERR_FILENO + 1;
  for (std::size_t i = 0; i < kept.size; ++i) {
    const auto fd = static_cast<unsigned>(kept.fds[i]);
    if (fd > from && ::syscall(SYS_close_range, from, fd - 1, 0) != 0) return false;
    from = std::max(from, fd + 1);
  }
  return ::syscall(SYS_close_range, from, ~0U, 0) == 0;
}

// What one call of getdents64() returned. Returns how many were closed.
int close_listed(std::span<const std::byte> entries, const Kept& kept, int directory) noexcept {
  int closed = 0;
  while (!entries.empty()) {
    dirent64 entry{};
    constexpr std::size_t kName = offsetof(dirent64, d_name);
    std::memcpy(&entry, entries.data(), std::min(entries.size(), sizeof entry));
    const std::string_view name(reinterpret_cast<const char*>(entries.data()) + kName);
    int fd = -1;
    const auto number = std::from_chars(name.data(), name.data() + name.size(), fd);
    if (number.ec == std::errc{} && fd != directory && !kept.has(fd)) {
      ::close(fd);
      ++closed;
    }
    entries = entries.subspan(std::min<std::size_t>(entry.d_reclen, entries.size()));
  }
  return closed;
}

// From the beginning again until nothing is left: the list moves while it is read. Its room is on the stack only where
// it is needed, as a new worker gets each page that it writes to from the system.
[[gnu::noinline]] bool close_those_listed(const Kept& kept) noexcept {
  const UniqueFd directory(::open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return false;
  for (;;) {
    int closed = 0;
    if (::lseek(directory.get(), 0, SEEK_SET) != 0) return false;
    for (;;) {
      alignas(dirent64) std::array<std::byte, 4096> entries{};
      const long size = ::syscall(SYS_getdents64, directory.get(), entries.data(), entries.size());
      if (size < 0) return false;
      if (size == 0) break;
      closed += close_listed(std::span(entries).first(static_cast<std::size_t>(size)), kept, directory.get());
    }
    if (closed == 0) return true;
  }
}

// A program may have lowered its limit and still have descriptors above: the hard one counts.
bool close_all_numbers(const Kept& kept) noexcept {
  constexpr rlim_t kMaxTried = rlim_t{1} << 20;  // what the system allows if it was not told otherwise
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  if (limit.rlim_max > kMaxTried) {
    errno = EOVERFLOW;
    return false;
  }
  for (int fd = STDERR_FILENO + 1; fd < static_cast<int>(limit.rlim_max); ++fd) {
    if (!kept.has(fd)) ::close(fd);
  }
  return true;
}

}  // namespace

int close_all_but(std::initializer_list<int> fds) noexcept {
  Kept kept;
  for (const int fd : fds) {
    if (fd > STDERR_FILENO) kept.add(fd);
  }
  return close_ranges(kept) || close_those_listed(kept) || close_all_numbers(kept) ? 0 : errno;
}

int open_standard_streams() noexcept {
  const auto is_open = [](int fd) { return ::fcntl(fd, F_GETFD) >= 0; };
  if (is_open(STDIN_FILENO) && is_open(STDOUT_FILENO) && is_open(STDERR_FILENO)) return 0;
  for (;;) {
    const int fd = ::open("/dev/null", O_RDWR);
    if (fd > STDERR_FILENO) {
      ::close(fd);
      return 0;
    }
    if (fd < 0 && errno != EINTR) return errno;
  }
}

}  // namespace leasepool::detail
