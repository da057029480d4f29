// Pages into files.
#include "page/page_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include "json.hpp"
#include "page/page.hpp"

namespace lpbench {

namespace {

[[noreturn]] void refuse(const std::string& path) {
  const int error = errno;
  throw std::runtime_error(
      fmt::format("cannot write the report {}: {}", printable(path), std::generic_category().message(error)));
}

}  // namespace

void check_page_file(const std::string& path) {
  errno = 0;
  if (!std::ofstream(path, std::ios::app)) refuse(path);
}

void write_page(const std::string& path, const std::vector<RunRecord>& runs) {
  const std::string page = page_of(runs);
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (!file.write(page.data(), std::ssize(page)).flush()) refuse(path);
}

}  // namespace lpbench
