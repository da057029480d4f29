// A table as aligned text: the first column to the left, the others to the right.
#pragma once

#include <string>
#include <vector>

namespace lpbench {

class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  // The whole table, a line below the header, each line with its newline.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace lpbench
