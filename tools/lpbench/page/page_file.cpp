// Pages into files.
#include "page/page_file.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "json.hpp"
#include "page/page.hpp"

namespace lpbench {

PageFile::PageFile(std::string path) : path_(std::move(path)), is_new_(::access(path_.c_str(), F_OK) != 0) {
  errno = 0;
  if (!std::ofstream(path_, std::ios::app)) refuse();
}

PageFile::~PageFile() {
  if (is_new_ && !written_) (void)::unlink(path_.c_str());
}

void PageFile::write(const std::vector<RunRecord>& runs) {
  const std::string page = page_of(runs);
  errno = 0;
  std::ofstream file(path_, std::ios::binary | std::ios::trunc);
  if (!file.write(page.data(), std::ssize(page)).flush()) refuse();
  written_ = true;
}

void PageFile::refuse() const {
  const int error = errno;
  throw std::runtime_error(
      fmt::format("cannot write the report {}: {}", printable(path_), std::generic_category().message(error)));
}

}  // namespace lpbench
