// Read from /proc.
#include "resources.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace figures {

namespace {

namespace fs = std::filesystem;

std::uint64_t resident_bytes(const fs::path& process) {
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  std::ifstream(process / "statm") >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t entries_of(const fs::path& directory) {
  std::error_code gone;
  std::uint64_t count = 0;
  for (fs::directory_iterator entry(directory, gone); !gone && entry != fs::directory_iterator();
       entry.increment(gone)) {
    ++count;
  }
  return count;
}

}  // namespace

Resources resources() {
  Resources found;
  std::error_code error;
  const fs::path own = fs::read_symlink("/proc/self/exe", error);
  found.resident_bytes = resident_bytes("/proc/self");
  found.descriptors = entries_of("/proc/self/fd") - 1;  // the one by which they are counted
  found.threads = entries_of("/proc/self/task");
  for (fs::directory_iterator entry("/proc", error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (entry->path().filename().string().find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code gone;
    if (fs::read_symlink(entry->path() / "exe", gone) != own || gone) continue;
    ++found.processes;
    found.resident_bytes_of_all += resident_bytes(entry->path());
  }
  return found;
}

}  // namespace figures
