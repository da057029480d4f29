// The ledger's file.
#include "ledger.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace lpbench::chaos {

Ledger::Ledger(const std::string& file) {
  constexpr std::size_t kSize = kSlots * sizeof(Slot);
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "open " + file);
  void* const memory =
      ::ftruncate(fd, kSize) == 0 ? ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  const int error = errno;
  ::close(fd);
  if (memory == MAP_FAILED) throw std::system_error(error, std::generic_category(), "map " + file);
  slots_ = static_cast<Slot*>(memory);  // zeros, or what others have noted
}

Ledger& Ledger::of_process(const std::string& file) {
  static Ledger ledger(file);
  return ledger;
}

void Ledger::begin(std::uint64_t number) noexcept { slot(number).store(number << 8U); }

void Ledger::note_run(std::uint64_t number) noexcept {
  std::uint64_t now = slot(number).load();
  while (now >> 8U == number && (now & 0xffU) != 0xffU && !slot(number).compare_exchange_weak(now, now + 1)) {
  }
}

unsigned Ledger::runs(std::uint64_t number) const noexcept {
  const std::uint64_t now = slot(number).load();
  return now >> 8U == number ? static_cast<unsigned>(now & 0xffU) : 0;
}

}  // namespace lpbench::chaos
