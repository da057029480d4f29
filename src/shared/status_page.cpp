// A sealed memfd, mapped.
#include "shared/status_page.hpp"

#include <sys/mman.h>
#include <unistd.h>

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
  std::size_t made = 0;
  int error = EFBIG;
  for (const std::size_t size : {kArgumentsOffset + argument_bytes, kArgumentsOffset, kWithoutRings}) {
    if (error != EFBIG || (size != kWithoutRings && !with_rings)) continue;
    file = make_memory_file("leasepool-status", size);
    error = file.fd ? 0 : errno;
    made = size;
  }
  if (!file.fd) throw_error(error, name_failed_step(file, error));
  StatusPage page = map(file.fd.get(), made, Arguments::are_mapped);
  return {std::move(page), std::move(file.fd)};
}

StatusPage StatusPage::map(int fd) {
  const off_t size = ::lseek(fd, 0, SEEK_END);
  if (size < 0) throw_error(errno, "lseek");
  return map(fd, static_cast<std::size_t>(size), Arguments::are_left_out);
}

// Fresh pages are zeros: so are all counters.
StatusPage StatusPage::map(int fd, std::size_t file_size, Arguments arguments) {
  const bool with_rings = file_size > kWithoutRings;
  check(file_size >= kWithoutRings, "a status page's file has room for the status");
  check(!with_rings || file_size >= kArgumentsOffset, "a status page's file has room for both rings or for none");
  const std::size_t least = with_rings ? sizeof(WorkerMemory) : kWithoutRings;
  const auto map_first = [fd](std::size_t size) {
    return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  };
  std::size_t size = arguments == Arguments::are_mapped && with_rings ? file_size : least;
  void* memory = map_first(size);
  if (memory == MAP_FAILED && size != least) memory = map_first(size = least);
  if (memory == MAP_FAILED) throw_error(errno, "mmap");
  return {static_cast<WorkerMemory*>(memory), size};
}

}  // namespace leasepool::detail
