// Reads /proc/*/stat.
#include "family.hpp"

#include <dirent.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

namespace faults {

Process process_of(pid_t id) {
  std::ifstream file("/proc/" + std::to_string(id) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return {};
  const std::size_t open = line.find('(');
  const std::size_t close = line.rfind(')');
  std::istringstream rest(line.substr(close + 1));
  char state = 0;
  Process process{.id = id, .parent = 0, .name = line.substr(open + 1, close - open - 1), .is_zombie = false};
  rest >> state >> process.parent;
  process.is_zombie = state == 'Z';
  return process;
}

std::vector<Process> descendants_of(pid_t ancestor) {
  const std::unique_ptr<DIR, decltype([](DIR* open) { ::closedir(open); })> directory(::opendir("/proc"));
  std::vector<Process> all;
  while (const dirent* const entry = directory ? ::readdir(directory.get()) : nullptr) {
    const int id = std::atoi(entry->d_name);
    if (id <= 0) continue;
    Process process = process_of(id);
    if (!process.name.empty()) all.push_back(std::move(process));
  }
  std::vector<Process> family;
  for (std::size_t done = 0; done <= family.size(); ++done) {
    const pid_t parent = done == 0 ? ancestor : family[done - 1].id;
    for (const Process& process : all) {
      if (process.parent == parent) family.push_back(process);
    }
  }
  return family;
}

}  // namespace faults
