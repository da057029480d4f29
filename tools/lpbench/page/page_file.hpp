// Where a page goes: a file that is tried before anything is measured for it.
#pragma once

#include <string>
#include <vector>

#include "record.hpp"

namespace lpbench {

// What is in the file stays until the page is written. A file that was not there before is gone again if it never was.
class PageFile {
 public:
  // Both throw std::runtime_error that names the file and the reason.
  explicit PageFile(std::string path);
  void write(const std::vector<RunRecord>& runs);

  PageFile(const PageFile&) = delete;
  PageFile& operator=(const PageFile&) = delete;
  ~PageFile();

 private:
  [[noreturn]] void refuse() const;

  std::string path_;
  bool is_new_ = false;
  bool written_ = false;
};

}  // namespace lpbench
