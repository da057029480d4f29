// Finds the files to work on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "progress.hpp"

namespace lpbench {

struct UnreadableFile {
  std::string path;
  std::string reason;
};

struct FileList {
  std::vector<std::string> paths;
  std::uint64_t bytes = 0;
  std::vector<UnreadableFile> unreadable;  // files and directories
};

// The first `most` regular files below a directory, by name; symlinks are not followed. Each is read once, which tells
// the unreadable ones and puts all into the page cache, so that the first run is not the slowest because of the disk.
// Throws std::runtime_error when the directory cannot be listed or has no file to work on.
FileList find_files(const std::string& directory, std::size_t most, Progress& progress);

}  // namespace lpbench
