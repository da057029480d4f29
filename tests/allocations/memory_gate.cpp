// operator new and delete above malloc() and free(), which sanitizers go on watching.
#include "memory_gate.hpp"

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

#include "support/memory_pause.hpp"

namespace {

constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): operator new has no argument to find them by
std::atomic<std::size_t> first_refused = kNever;
std::atomic<std::size_t> last_refused = kNever;
std::atomic<std::size_t> seen = 0;
std::atomic<std::size_t> refusals = 0;
std::atomic<bool> is_open = true;
std::atomic<std::size_t> live = 0;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

void pass() {
  if (is_open || leasepool::test::MemoryPause::is_on()) return;
  const std::size_t number = ++seen;
  if (number < first_refused || number > last_refused) return;
  ++refusals;
  throw std::bad_alloc();
}

}  // namespace

namespace leasepool::test {

MemoryGate::MemoryGate(std::size_t n, Fails fails) noexcept {
  first_refused = n;
  last_refused = fails == Fails::once ? n : kNever;
  seen = 0;
  refusals = 0;
  is_open = false;
}
MemoryGate::~MemoryGate() { is_open = true; }
bool MemoryGate::refused() const noexcept {
  return refusals != 0;
}  // NOLINT(readability-convert-member-functions-to-static): of this one

std::size_t live_allocations() noexcept { return live; }

}  // namespace leasepool::test

void* operator new(std::size_t size) {
  pass();
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  ++live;
  return memory;
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  pass();
  const auto align = static_cast<std::size_t>(alignment);
  void* const memory = std::aligned_alloc(align, (size + align - 1) / align * align);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t size, const std::nothrow_t& /*null instead*/) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept {
  if (memory != nullptr) --live;
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept { operator delete(memory); }
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept { std::free(memory); }
