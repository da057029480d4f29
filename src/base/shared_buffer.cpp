// Sealed memfds: made, checked and mapped.
#include "leasepool/shared_buffer.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "base/memory_file.hpp"

namespace leasepool {

namespace {

using detail::kMemoryFileSeals;

[[noreturn]] void throw_error(int error, std::size_t size, const std::string& what) {
  throw std::system_error(error, std::generic_category(),
                          "leasepool: a SharedBuffer of " + std::to_string(size) + " bytes cannot be had: " + what);
}

[[noreturn]] void refuse(const char* why) {
  throw std::invalid_argument(std::string("leasepool: a SharedBuffer cannot be mapped from this descriptor: ") + why);
}

}  // namespace

SharedBuffer::Memory::Memory(Fd its_fd, std::size_t its_size) : fd(std::move(its_fd)), size(its_size) {
  void* const mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) throw_error(errno, size, "mmap");
  data = static_cast<std::byte*>(mapped);
}

SharedBuffer::Memory::~Memory() { ::munmap(data, size); }

SharedBuffer::SharedBuffer(std::size_t size) {
  if (size == 0) return;
  detail::MemoryFile memory = detail::make_memory_file("leasepool-buffer", size);
  if (const int error = errno; !memory.fd) throw_error(error, size, detail::name_failed_step(memory, error));
  memory_ = std::make_shared<const Memory>(std::move(memory.fd), size);
}

// Without the seals, whoever else has it could shrink it, and reading behind its end would be a SIGBUS here; with huge
// pages, the same by punching holes while there are no more of them.
SharedBuffer SharedBuffer::map(Fd memory) {
  const int seals = ::fcntl(memory.get(), F_GET_SEALS);
  if (seals < 0) refuse("it is no memfd");
  if ((seals & kMemoryFileSeals) != kMemoryFileSeals)
    refuse("it is not sealed against shrinking, growing and further seals");
  struct statfs file_system{};
  if (::fstatfs(memory.get(), &file_system) != 0 || file_system.f_type != TMPFS_MAGIC) refuse("it has huge pages");
  struct stat status{};
  if (::fstat(memory.get(), &status) != 0) refuse("its size is not known");
  if (status.st_size == 0) return {};
  return SharedBuffer(std::make_shared<const Memory>(std::move(memory), static_cast<std::size_t>(status.st_size)));
}

const Fd& SharedBuffer::fd() const noexcept {
  static const Fd none;
  return memory_ ? memory_->fd : none;
}

}  // namespace leasepool
