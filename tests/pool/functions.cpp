// The functions and the shared memory.
#include "functions.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <leasepool/function.hpp>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>

namespace pool_functions {

namespace {

const pid_t main_process = ::getpid();

// Runs in every fork of this program: in what the fork servers fork, too.
void obey_at_fork() {
  switch (shared().at_fork.load()) {
    case AtFork::nothing: return;
    case AtFork::die: ::_exit(9);
    case AtFork::hang:
      shared().forked = ::getpid();
      for (;;) ::pause();
  }
}

// Made before main() begins, so before any fork.
SharedPage* make_shared_page() {
  void* const memory = ::mmap(nullptr, sizeof(SharedPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  ::pthread_atfork(nullptr, nullptr, obey_at_fork);
  return new (memory) SharedPage();
}
SharedPage* const shared_page = make_shared_page();

// Uses up the stack; the depth keeps the compiler from knowing that.
int dive(volatile int* above) {
  volatile int here[1024];
  here[0] = *above + 1;
  return here[0] == 0 ? 0 : dive(here) + here[0];
}

void write_where_nothing_is() {
  void* const guarded = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *static_cast<volatile char*>(guarded) = 1;
}

void throw_in_noexcept() noexcept {
  // NOLINTNEXTLINE(bugprone-exception-escape): on purpose
  [] { throw std::runtime_error("thrown where nothing may be"); }();
}

// More than there is address space.
void want_too_much() {
  volatile std::size_t size = std::size_t{1} << 60;
  const std::unique_ptr<char[]> memory(new char[size]);
}

// Takes all that there is, and then some; gives all back.
void use_up_memory() {
  std::vector<std::unique_ptr<char[]>> blocks;
  blocks.reserve(1U << 16U);
  for (std::size_t size = std::size_t{64} << 20; size >= std::size_t{64} << 10; size /= 2) {
    while (auto* const block = new (std::nothrow) char[size]) blocks.emplace_back(block);
  }
  for (;;) blocks.push_back(std::make_unique_for_overwrite<char[]>(std::size_t{1} << 20));
}

void use_up_memory_fatally() noexcept { use_up_memory(); }

}  // namespace

SharedPage& shared() { return *shared_page; }

void reset_shared() { new (shared_page) SharedPage(); }

bool in_worker() { return ::getpid() != main_process; }

void end_by(End how) {
  volatile int depth = 0;
  switch (how) {
    case End::exception: throw std::runtime_error("thrown on purpose");
    case End::exit_0: std::exit(0);
    case End::exit_3: std::exit(3);
    case End::abort: std::abort();
    case End::bad_access: return write_where_nothing_is();
    case End::sigkill: ::kill(::getpid(), SIGKILL); return;
    case End::stack_overflow: (void)dive(&depth); return;
    case End::noexcept_throw: return throw_in_noexcept();
    case End::out_of_memory: return want_too_much();
    case End::memory_limit: return use_up_memory();
    case End::memory_limit_fatal: return use_up_memory_fatally();
  }
}

std::int64_t add(std::int64_t a, std::int64_t b) { return a + b; }
std::string echo(std::string text) { return text; }
std::uint64_t length_of(const std::string& text) { return text.size(); }
std::string make_text(std::uint64_t length) { return std::string(length, 'x'); }
void nothing() {}
pid_t process_id() { return ::getpid(); }
pid_t parent_process_id() { return ::getppid(); }

int end_running(int how) {
  end_by(static_cast<End>(how));
  return 1;
}

std::uint32_t count_run(std::uint32_t index, std::uint32_t microseconds) {
  shared().last_runner = ::getpid();
  ++shared().runs[index];
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
  return index;
}

pid_t hold() {
  shared().last_runner = ::getpid();
  ++shared().holding;
  while (shared().gate == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return ::getpid();
}

void stop_itself() { ::kill(::getpid(), SIGSTOP); }

void exit_at_once(int code) { ::_exit(code); }

}  // namespace pool_functions

LEASEPOOL_REGISTER(pool_functions::add);
LEASEPOOL_REGISTER(pool_functions::echo);
LEASEPOOL_REGISTER(pool_functions::length_of);
LEASEPOOL_REGISTER(pool_functions::make_text);
LEASEPOOL_REGISTER(pool_functions::nothing);
LEASEPOOL_REGISTER(pool_functions::process_id);
LEASEPOOL_REGISTER(pool_functions::parent_process_id);
LEASEPOOL_REGISTER(pool_functions::end_running);
LEASEPOOL_REGISTER(pool_functions::count_run);
LEASEPOOL_REGISTER(pool_functions::hold);
LEASEPOOL_REGISTER(pool_functions::stop_itself);
LEASEPOOL_REGISTER(pool_functions::exit_at_once);
