// Finds the files to work on, directory by directory.
#include "file_list.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "json.hpp"
#include "units.hpp"
#include "workloads.hpp"

namespace lpbench {

namespace {

namespace fs = std::filesystem;

class Search {
 public:
  Search(std::size_t most, Progress& progress) : most_(most), progress_(&progress) {}

  void visit(const fs::path& directory) {
    std::error_code error;
    for (const fs::path& path : sorted_entries(directory, error)) {
      if (found_.paths.size() >= most_) return;
      std::error_code gone;  // what is neither file nor directory is passed over, so is what is gone by now
      const fs::file_status status = fs::symlink_status(path, gone);
      if (fs::is_directory(status)) {
        visit(path);
      } else if (fs::is_regular_file(status)) {
        try_file(path.string());
      }
    }
    if (error) found_.unreadable.push_back({directory.string(), error.message()});
  }

  FileList take() { return std::move(found_); }

 private:
  static std::vector<fs::path> sorted_entries(const fs::path& directory, std::error_code& error) {
    std::vector<fs::path> entries;
    fs::directory_iterator entry(directory, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) entries.push_back(entry->path());
    std::ranges::sort(entries);
    return entries;
  }

  void try_file(std::string path) {
    if (progress_->due()) {
      progress_->show(fmt::format("looking for files: {} of {} so far", counted(found_.paths.size(), "file"),
                                  human_bytes(found_.bytes)));
    }
    try {
      std::uint64_t bytes = 0;
      read_file(path, [&](std::string_view piece) { bytes += piece.size(); });
      found_.bytes += bytes;
      found_.paths.push_back(std::move(path));
    } catch (const std::runtime_error& error) {
      const std::string reason = error.what();
      found_.unreadable.push_back({path, reason.substr(reason.rfind(": ") + 2)});
    }
  }

  std::size_t most_;
  Progress* progress_;
  FileList found_;
};

}  // namespace

FileList find_files(const std::string& directory, std::size_t most, Progress& progress) {
  if (!fs::is_directory(directory)) {  // throws by itself where it may not look
    throw std::runtime_error(
        fmt::format("files: DIR '{}' is not a directory: give one that exists", printable(directory)));
  }
  Search search(most, progress);
  search.visit(directory);
  progress.clear();
  FileList found = search.take();
  if (found.paths.empty()) {
    throw std::runtime_error(
        fmt::format("files: DIR '{}' holds no regular file that can be read ({} unreadable): give another one",
                    printable(directory), found.unreadable.size()));
  }
  return found;
}

}  // namespace lpbench
