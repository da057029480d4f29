// What the calls of the long runs do.
#include "functions.hpp"

#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <leasepool/leasepool.hpp>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace endurance {

namespace {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): where registered functions find it
std::atomic<unsigned>* marks = nullptr;

}  // namespace

std::uint64_t add(std::uint64_t a, std::uint64_t b) { return a + b; }

std::string echo(std::string text) { return text; }

void fail(std::string text) { throw std::runtime_error(text); }

int nap(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}

void crash(int how) {
  if (how == 0) (void)std::raise(SIGKILL);
  if (how == 1) std::abort();
  ::_exit(3);
}

void doom(int microseconds) {
  std::signal(SIGALRM, SIG_DFL);
  const itimerval later{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = microseconds}};
  ::setitimer(ITIMER_REAL, &later, nullptr);
}

std::size_t mark(std::size_t number) {
  ++marks[number];
  return number;
}

int parent_process() { return ::getppid(); }

void make_marks(std::size_t numbers) {
  void* const memory = ::mmap(nullptr, numbers * sizeof(std::atomic<unsigned>), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  marks = static_cast<std::atomic<unsigned>*>(memory);  // zeros
}

unsigned take_marks(std::size_t number) { return marks[number].exchange(0); }

}  // namespace endurance

LEASEPOOL_REGISTER(endurance::add);
LEASEPOOL_REGISTER(endurance::echo);
LEASEPOOL_REGISTER(endurance::fail);
LEASEPOOL_REGISTER(endurance::nap);
LEASEPOOL_REGISTER(endurance::crash);
LEASEPOOL_REGISTER(endurance::doom);
LEASEPOOL_REGISTER(endurance::mark);
LEASEPOOL_REGISTER(endurance::parent_process);
