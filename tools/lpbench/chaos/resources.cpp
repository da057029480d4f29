// Reading /proc, and comparing.
#include "resources.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <thread>

#include "../units.hpp"
#include "processes.hpp"

namespace lpbench::chaos {

namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kMostWait(10);

// Where a sanitizer replaces malloc(), it keeps what was freed for a while.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCountsMemory = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
constexpr bool kCountsMemory = false;
#else
constexpr bool kCountsMemory = true;
#endif
#else
constexpr bool kCountsMemory = true;
#endif

std::size_t entries_of(const char* directory) {
  const std::unique_ptr<DIR, decltype([](DIR* open) { ::closedir(open); })> listing(::opendir(directory));
  std::size_t entries = 0;
  while (const dirent* const entry = listing == nullptr ? nullptr : ::readdir(listing.get())) {
    entries += entry->d_name[0] == '.' ? 0 : 1;
  }
  return entries;
}

std::size_t lines_of(const char* file) {
  std::ifstream stream(file);
  std::size_t lines = 0;
  for (std::string line; std::getline(stream, line);) ++lines;
  return lines;
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t mapped = 0;
  std::size_t resident = 0;
  file >> mapped >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

Resources resources() {
  ::malloc_trim(0);
  const auto heap = ::mallinfo2();
  return {.threads = entries_of("/proc/self/task"),
          .processes = descendants().size(),
          .descriptors = entries_of("/proc/self/fd") - 1,  // less the one that reads it
          .mappings = lines_of("/proc/self/maps"),
          .resident = resident_bytes(),
          .allocated = heap.uordblks + heap.hblkhd};
}

Resources resources_when_settled(std::size_t processes) {
  constexpr int kLooks = 5;
  const auto give_up = steady_clock::now() + kMostWait;
  Resources last;
  for (int equal = 0;;) {
    reap_children();
    const Resources now = resources();
    const bool as_before =
        now.threads == last.threads && now.processes == last.processes && now.descriptors == last.descriptors;
    equal = as_before && now.processes <= processes ? equal + 1 : 0;
    if (equal == kLooks || steady_clock::now() >= give_up) return now;
    last = now;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

Resources resources_at_rest(const Resources& before) {
  const auto give_up = steady_clock::now() + kMostWait;
  for (;;) {
    reap_children();
    const Resources now = resources();
    const bool rests =
        now.threads <= before.threads && now.processes <= before.processes && now.descriptors <= before.descriptors;
    if (rests || steady_clock::now() >= give_up) return now;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::vector<std::string> left_behind(const Resources& before, const Resources& after) {
  std::vector<std::string> found;
  const auto compare = [&](const char* what, std::size_t Resources::* of, std::size_t slack, bool bytes) {
    const std::size_t was = before.*of;
    const std::size_t is = after.*of;
    if (is <= was + slack) return;
    found.push_back(bytes ? fmt::format("{} {}, and {} before", human_bytes(is), what, human_bytes(was))
                          : fmt::format("{} {}, and {} before", is, what, was));
  };
  compare("threads", &Resources::threads, 0, false);
  compare("processes", &Resources::processes, 0, false);
  compare("descriptors", &Resources::descriptors, 0, false);
  if (!kCountsMemory) return found;
  // The C library makes an arena for a thread that finds the others locked, and keeps stacks of threads that are gone.
  constexpr std::size_t kMappings = 40;
  constexpr std::size_t kNoise = std::size_t{8} << 20U;
  constexpr std::size_t kAllocatedNoise = std::size_t{1} << 20U;
  compare("mappings", &Resources::mappings, kMappings, false);
  compare("resident", &Resources::resident, std::max(before.resident / 10, kNoise), true);
  compare("allocated", &Resources::allocated, std::max(before.allocated / 10, kAllocatedNoise), true);
  return found;
}

Resources most_of(const Resources& one, const Resources& other) {
  Resources most;
  for (const auto of : {&Resources::threads, &Resources::processes, &Resources::descriptors, &Resources::mappings,
                        &Resources::resident, &Resources::allocated}) {
    most.*of = std::max(one.*of, other.*of);
  }
  return most;
}

}  // namespace lpbench::chaos
