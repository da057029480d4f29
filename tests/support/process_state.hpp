// What the kernel says this process has: descriptors, threads and child processes, to compare before and after.
#pragma once

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace leasepool::test {

namespace proc {

// The entries of a directory under /proc that are numbers, and the descriptor by which it was read.
struct Numbers {
  std::vector<long> values;
  int read_by = -1;
};

inline Numbers numbers_in(const char* directory) {
  const std::unique_ptr<DIR, decltype([](DIR* open) { ::closedir(open); })> stream(::opendir(directory));
  if (stream == nullptr) throw std::system_error(errno, std::generic_category(), directory);
  Numbers found{.values = {}, .read_by = ::dirfd(stream.get())};
  while (const dirent* const entry = ::readdir(stream.get())) {
    char* end = nullptr;
    const long number = std::strtol(entry->d_name, &end, 10);
    if (end != entry->d_name && *end == '\0') found.values.push_back(number);
  }
  std::sort(found.values.begin(), found.values.end());
  return found;
}

// The parent of a process; 0 when it is gone.
inline pid_t parent_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return 0;
  std::istringstream after_name(line.substr(line.rfind(')') + 1));  // a name may hold blanks and brackets
  char state = 0;
  pid_t parent = 0;
  after_name >> state >> parent;
  return parent;
}

}  // namespace proc

// Every open descriptor of this process, as "number -> what it is".
inline std::vector<std::string> open_descriptors() {
  const proc::Numbers numbers = proc::numbers_in("/proc/self/fd");
  std::vector<std::string> open;
  for (const long number : numbers.values) {
    if (number == numbers.read_by) continue;
    char target[256];
    const std::string path = "/proc/self/fd/" + std::to_string(number);
    const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
    if (length < 0) continue;  // closed in the meantime
    open.push_back(std::to_string(number) + " -> " + std::string(target, static_cast<std::size_t>(length)));
  }
  return open;
}

// A thread that was joined may be counted for a moment longer: compare with eventually().
inline std::size_t thread_count() { return proc::numbers_in("/proc/self/task").values.size(); }

// As of /proc/PID/stat: R, S, D, T (stopped), Z; '?' when there is no such process.
inline char process_state(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return '?';
  const auto name_end = line.rfind(')');
  return name_end + 2 < line.size() ? line[name_end + 2] : '?';
}

// All descendants of this process, zombies too, in ascending order.
inline std::vector<pid_t> child_processes() {
  std::vector<std::pair<pid_t, pid_t>> parents;
  for (const long number : proc::numbers_in("/proc").values) {
    const auto process = static_cast<pid_t>(number);
    parents.emplace_back(process, proc::parent_of(process));
  }
  std::vector<pid_t> family{::getpid()};
  for (std::size_t next = 0; next < family.size(); ++next) {
    for (const auto& [process, parent] : parents) {
      if (parent == family[next]) family.push_back(process);
    }
  }
  family.erase(family.begin());
  std::sort(family.begin(), family.end());
  return family;
}

}  // namespace leasepool::test
