// Reading /proc, and comparing.
#include "memory_curve.hpp"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "support/process_state.hpp"

namespace leasepool::test {

namespace {

// Pages of code that were not needed before, and an arena or two of the C library with holes in them.
constexpr std::size_t kNoise = std::size_t{6} << 20U;

// Of a few more arenas of the C library, which reserves up to 128 MiB for each: a thread that finds the others locked
// gets a new one.
constexpr std::size_t kMappedNoise = std::size_t{512} << 20U;
constexpr std::size_t kMappingsNoise = 20;

std::size_t pages_of(const std::string& statm, int field) {
  std::ifstream file(statm);
  std::size_t pages = 0;
  for (int i = 0; i <= field && file >> pages;) ++i;
  return file ? pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

std::size_t lines_of(const char* path) {
  std::ifstream file(path);
  std::size_t lines = 0;
  for (std::string line; std::getline(file, line);) ++lines;
  return lines;
}

// A large result or two that the background thread is about to drop. All else is gone where the program rests.
constexpr std::size_t kAllocatedNoise = std::size_t{1} << 20U;

std::size_t allocated_bytes() {
  const auto heap = ::mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

struct Column {
  const char* name;
  std::size_t MemoryUse::* value;
  std::size_t noise;
};
constexpr Column kColumns[] = {
    {.name = "resident bytes", .value = &MemoryUse::resident, .noise = kNoise},
    {.name = "allocated bytes", .value = &MemoryUse::allocated, .noise = kAllocatedNoise},
    {.name = "mapped bytes", .value = &MemoryUse::mapped, .noise = kMappedNoise},
    {.name = "mappings", .value = &MemoryUse::mappings, .noise = kMappingsNoise},
    {.name = "descriptors", .value = &MemoryUse::descriptors, .noise = 0},
};

}  // namespace

MemoryUse memory_use() {
  return {.resident = pages_of("/proc/self/statm", 1),
          .allocated = allocated_bytes(),
          .mapped = pages_of("/proc/self/statm", 0),
          .mappings = lines_of("/proc/self/maps"),
          .descriptors = open_descriptors().size()};
}

std::size_t resident_of(int process) { return pages_of("/proc/" + std::to_string(process) + "/statm", 1); }

void MemoryCurve::add(double done) { samples_.push_back({.done = done, .use = memory_use()}); }

void MemoryCurve::print() const {
  for (std::size_t i = 3; i < samples_.size(); i += 4) {
    const auto& [done, use] = samples_[i];
    std::printf(
        "%s: %3.0f %%: %6zu KiB resident, %5zu KiB allocated, %8zu KiB mapped, %4zu mappings, %3zu descriptors\n",
        run_.c_str(), 100 * done, use.resident >> 10U, use.allocated >> 10U, use.mapped >> 10U, use.mappings,
        use.descriptors);
  }
  for (const Column& column : kColumns) {
    const std::size_t first = most_of_first_tenth(column.value);
    std::size_t most = 0;
    for (const auto& [done, use] : samples_) most = std::max(most, use.*column.value);
    if (first != 0) {
      std::printf("%s: %s: at most %+.1f %% of the first tenth's %zu\n", run_.c_str(), column.name,
                  100 * (double(most) - double(first)) / double(first), first);
    }
  }
  std::fflush(stdout);
}

std::size_t MemoryCurve::most_of_first_tenth(std::size_t MemoryUse::* value) const {
  constexpr double kFirst = 0.101;  // the tenth part, however it was rounded
  std::size_t most = 0;
  for (const auto& [done, use] : samples_) {
    if (done <= kFirst) most = std::max(most, use.*value);
  }
  return most;
}

std::string MemoryCurve::growth() const {
  for (const auto& [name, value, noise] : kColumns) {
    const std::size_t first = most_of_first_tenth(value);
    if (first == 0) return run_ + ": no sample in the first tenth";
    const std::size_t most = first + std::max(value == &MemoryUse::descriptors ? 0 : first / 10, noise);
    for (const auto& [done, use] : samples_) {
      if (use.*value <= most) continue;
      return run_ + ": " + std::to_string(use.*value) + " " + name + " after " +
             std::to_string(static_cast<int>(100 * done)) + " % of it, and " + std::to_string(first) +
             " in the first tenth";
    }
  }
  return {};
}

}  // namespace leasepool::test
