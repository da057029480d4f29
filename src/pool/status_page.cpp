// A sealed memfd, mapped.
#include "pool/status_page.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <system_error>

namespace leasepool::detail {

namespace {

constexpr std::size_t kWithoutRings = offsetof(WorkerMemory, calls);
static_assert(sizeof(WorkerStatus) <= kWithoutRings);

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), std::string("leasepool: ") + what + " for a status page");
}

}  // namespace

StatusPage::~StatusPage() {
  if (memory_ != nullptr) ::munmap(memory_, size_);
}

std::pair<StatusPage, UniqueFd> StatusPage::create(bool with_rings, std::size_t argument_bytes) {
  UniqueFd fd(::memfd_create("leasepool-status", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) throw_errno("memfd_create");
  const std::size_t size = with_rings ? kArgumentsOffset + argument_bytes : kWithoutRings;
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) throw_errno("ftruncate");
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) throw_errno("F_ADD_SEALS");
  StatusPage page = map(fd.get());
  return {std::move(page), std::move(fd)};
}

StatusPage StatusPage::map(int fd) {
  struct stat file{};
  if (::fstat(fd, &file) != 0) throw_errno("fstat");
  const bool with_rings = static_cast<std::size_t>(file.st_size) > kWithoutRings;
  const std::size_t size = with_rings ? sizeof(WorkerMemory) : kWithoutRings;
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) throw_errno("mmap");
  return {static_cast<WorkerMemory*>(memory), size};  // fresh pages are zeros: so are all counters
}

}  // namespace leasepool::detail
