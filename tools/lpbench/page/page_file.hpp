// Where a page goes: a file that is tried before anything is measured for it.
#pragma once

#include <string>
#include <vector>

#include "record.hpp"

namespace lpbench {

// Both throw std::runtime_error that names the file and the reason. What is in the file stays until it is written.
void check_page_file(const std::string& path);
void write_page(const std::string& path, const std::vector<RunRecord>& runs);

}  // namespace lpbench
