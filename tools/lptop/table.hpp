// A table of which each cell has what people read and what it is sorted by.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lptop {

struct Cell {
  std::string text;
  double value = 0;  // of numbers; words are sorted by themselves
  bool is_bad = false;
};

struct Column {
  std::string name;
  bool is_number = true;  // to the right, and the largest first
};

struct Table {
  std::string title;
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;

  // By one of its columns, as that is sorted by itself or the other way round. Rows that are equal stay as they are.
  void sort_by(std::size_t column, bool reversed);
  // Only rows of which a cell has that text, upper case or lower.
  void keep(std::string_view text);

  // Its header and its rows as aligned lines, without control characters: what functions and owners are called is the
  // program's to choose.
  [[nodiscard]] std::vector<std::string> lines() const;

  // Where its columns begin and how wide they are, in columns of the terminal.
  struct Place {
    std::size_t begin = 0;
    std::size_t width = 0;
  };
  [[nodiscard]] std::vector<Place> places() const;
};

// How many columns of a terminal a text takes, each character for one.
[[nodiscard]] std::size_t width_of(std::string_view text);

// The text's first characters, as many as fit.
[[nodiscard]] std::string_view first_columns(std::string_view text, std::size_t columns);

}  // namespace lptop
