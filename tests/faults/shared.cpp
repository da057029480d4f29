// The shared memory's end in a scenario's processes.
#include "shared.hpp"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>

namespace faults {

namespace {
Shared* mapped = nullptr;  // inherited by fork
}

Shared* shared() noexcept { return mapped; }

void open_shared() {
  const char* const descriptor = std::getenv(kSharedVariable);
  if (descriptor == nullptr) ::_exit(2);
  const int fd = std::atoi(descriptor);
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) ::_exit(2);
  ::close(fd);
  mapped = static_cast<Shared*>(memory);
}

Role own_role(const Shared& shared) noexcept {
  if (::getpid() == shared.parent) return Role::parent;
  std::array<char, 16> name{};
  ::prctl(PR_GET_NAME, name.data());
  return std::string_view(name.data()).starts_with(kWorkerName) ? Role::worker : Role::server;
}

void arm(Shared& shared, bool armed) noexcept {
  for (std::atomic<bool>& role : shared.armed) role = armed;
}

}  // namespace faults
