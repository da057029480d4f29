// The functions that the contract's tests run.
#include "support.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <new>
#include <stdexcept>
#include <stop_token>

namespace {

SharedCounters* map_counters() {
  void* const memory =
      ::mmap(nullptr, sizeof(SharedCounters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return new (memory) SharedCounters{};
}

// A static object, so that it exists before main() starts the fork server.
SharedCounters* const counters = map_counters();

struct OwnType {
  int value;
};

}  // namespace

SharedCounters& shared() { return *counters; }

void close_gate() {
  counters->open = false;
  counters->entered = 0;
  counters->left = 0;
  counters->inside = 0;
  counters->most_inside = 0;
}
void open_gate() { counters->open = true; }

std::uint64_t square(std::uint64_t x) { return x * x; }
std::string join(const std::string& left, std::string right) { return left + right; }
void nothing() {}
std::unique_ptr<int> boxed(int value) { return std::make_unique<int>(value); }
int throw_out_of_range(const std::string& what) { throw std::out_of_range(what); }
int throw_own_type(int value) { throw OwnType{value}; }

int pass_gate(int value) {
  const int inside = ++counters->inside;
  int most = counters->most_inside;
  while (most < inside && !counters->most_inside.compare_exchange_weak(most, inside)) {
  }
  ++counters->entered;
  while (!counters->open) ::usleep(100);
  --counters->inside;
  ++counters->left;
  return value;
}

bool wait_for_stop(std::stop_token token) {
  ++counters->entered;
  while (!token.stop_requested() && !counters->open) ::usleep(100);
  ++counters->left;
  return token.stop_requested();
}

int die_by_signal(int signal) {
  ::raise(signal);
  return 0;
}

int process_id() { return ::getpid(); }
int thread_id() { return static_cast<int>(::syscall(SYS_gettid)); }
std::string text_past_gate(int size) {
  pass_gate(size);
  return std::string(static_cast<std::size_t>(size), 'x');
}

LEASEPOOL_REGISTER(square);
LEASEPOOL_REGISTER(join);
LEASEPOOL_REGISTER(nothing);
LEASEPOOL_REGISTER(boxed);
LEASEPOOL_REGISTER(throw_out_of_range);
LEASEPOOL_REGISTER(throw_own_type);
LEASEPOOL_REGISTER(pass_gate);
LEASEPOOL_REGISTER(wait_for_stop);
LEASEPOOL_REGISTER(die_by_signal);
LEASEPOOL_REGISTER(process_id);
LEASEPOOL_REGISTER(thread_id);
LEASEPOOL_REGISTER(text_past_gate);

lp::Task<> until_entered(lp::Loop& loop, int count, std::source_location where) {
  return until(loop, [count] { return counters->entered >= count; }, where);
}
