// A sealed memfd, mapped.
#include "shared/status_page.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "base/memory_file.hpp"

namespace leasepool::detail {

namespace {

constexpr std::size_t kWithoutRings = offsetof(WorkerMemory, calls);
static_assert(sizeof(WorkerStatus) <= kWithoutRings);

[[noreturn]] void throw_error(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), "leasepool: " + what + " for a status page");
}

}  // namespace

StatusPage::~StatusPage() {
  if (memory_ != nullptr) ::munmap(memory_, size_);
}

// Where files must be smaller, it is without what it can do without.
std::pair<StatusPage, UniqueFd> StatusPage::create(bool with_rings, std::size_t argument_bytes) {
  MemoryFile file;
  int error = EFBIG;
  for (const std::size_t size : {kArgumentsOffset + argument_bytes, kArgumentsOffset, kWithoutRings}) {
    if (error != EFBIG || (size != kWithoutRings && !with_rings)) continue;
    file = make_memory_file("leasepool-status", size);
    error = file.fd ? 0 : errno;
  }
  if (!file.fd) throw_error(error, name_failed_step(file, error));
  StatusPage page = map(file.fd.get());
  return {std::move(page), std::move(file.fd)};
}

StatusPage StatusPage::map(int fd) {
  struct stat file{};
  if (::fstat(fd, &file) != 0) throw_error(errno, "fstat");
  const auto file_size = static_cast<std::size_t>(file.st_size);
  const bool with_rings = file_size > kWithoutRings;
  check(file_size >= kWithoutRings, "a status page's file has room for the status");
  check(!with_rings || file_size >= kArgumentsOffset, "a status page's file has room for both rings or for none");
  const std::size_t size = with_rings ? sizeof(WorkerMemory) : kWithoutRings;
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) throw_error(errno, "mmap");
  const std::size_t argument_bytes = with_rings ? file_size - kArgumentsOffset : 0;
  return {static_cast<WorkerMemory*>(memory), size, argument_bytes};  // fresh pages are zeros: so are all counters
}

}  // namespace leasepool::detail
