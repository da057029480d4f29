// A table as aligned text.
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace lpbench {

std::string Table::text() const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (std::size_t column = 0; column < widths.size(); ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  std::string text;
  for (std::size_t index = 0; index < rows_.size(); ++index) {
    const auto& row = rows_[index];
    text += fmt::format("{:<{}}", row.front(), widths.front());
    for (std::size_t column = 1; column < widths.size(); ++column) {
      text += fmt::format("  {:>{}}", row[column], widths[column]);
    }
    text += '\n';
    if (index == 0) text += std::string(text.size() - 1, '-') + '\n';
  }
  return text;
}

}  // namespace lpbench
