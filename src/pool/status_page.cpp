// A sealed memfd, mapped.
#include "pool/status_page.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <system_error>

namespace leasepool::detail {

namespace {

constexpr std::size_t kPageSize = 4096;
static_assert(sizeof(WorkerStatus) <= kPageSize);

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), std::string("leasepool: ") + what + " for a status page");
}

}  // namespace

StatusPage::~StatusPage() {
  if (status_ != nullptr) ::munmap(status_, kPageSize);
}

std::pair<StatusPage, UniqueFd> StatusPage::create() {
  UniqueFd fd(::memfd_create("leasepool-status", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) throw_errno("memfd_create");
  if (::ftruncate(fd.get(), kPageSize) != 0) throw_errno("ftruncate");
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) throw_errno("F_ADD_SEALS");
  StatusPage page = map(fd.get());
  return {std::move(page), std::move(fd)};
}

StatusPage StatusPage::map(int fd) {
  void* const memory = ::mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) throw_errno("mmap");
  return StatusPage(static_cast<WorkerStatus*>(memory));  // a fresh page is zeros: so are all counters
}

}  // namespace leasepool::detail
