#include "table.hpp"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <utility>

#include "utf8.hpp"

namespace lptop {

namespace {

// Whole characters stay, whatever could move a terminal's cursor or is broken becomes a question mark.
std::string printable(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const std::size_t length = lpbench::utf8_length(text);
    const auto first = static_cast<unsigned char>(text.front());
    const bool is_control =
        first < 0x20 || first == 0x7f || (first == 0xc2 && length == 2 && static_cast<unsigned char>(text[1]) < 0xa0);
    clean += length == 0 || is_control ? "?" : text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return clean;
}

bool contains_ignoring_case(std::string_view text, std::string_view part) {
  const auto lower = [](char letter) { return std::tolower(static_cast<unsigned char>(letter)); };
  return !std::ranges::search(text, part, {}, lower, lower).empty();
}

std::string padded(const std::string& text, std::size_t width, bool to_the_right) {
  const std::string space(width - std::min(width, width_of(text)), ' ');
  return to_the_right ? space + text : text + space;
}

}  // namespace

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char byte) { return (byte & 0xc0) != 0x80; }));
}

std::string_view first_columns(std::string_view text, std::size_t columns) {
  std::size_t end = 0;
  while (end < text.size() && (columns > 0 || (text[end] & 0xc0) == 0x80)) {
    if ((text[end] & 0xc0) != 0x80) --columns;
    ++end;
    while (end < text.size() && (text[end] & 0xc0) == 0x80) ++end;
  }
  return text.substr(0, end);
}

void Table::sort_by(std::size_t column, bool reversed) {
  if (column >= columns.size()) return;
  const bool is_number = columns[column].is_number;
  const bool largest_first = is_number != reversed;
  const auto less = [&](const Cell& left, const Cell& right) {
    return is_number ? left.value < right.value : left.text < right.text;
  };
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t left, std::size_t right) {
    const Cell& a = rows[left][column];
    const Cell& b = rows[right][column];
    if (less(a, b)) return !largest_first;
    if (less(b, a)) return largest_first;
    return left < right;
  });
  std::vector<std::vector<Cell>> sorted;
  for (const std::size_t row : order) sorted.push_back(std::move(rows[row]));
  rows = std::move(sorted);
}

void Table::keep(std::string_view text) {
  std::erase_if(rows, [&](const auto& row) {
    return std::ranges::none_of(row, [&](const Cell& cell) { return contains_ignoring_case(cell.text, text); });
  });
}

std::vector<Table::Place> Table::places() const {
  std::vector<Place> places;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    std::size_t width = width_of(columns[i].name);
    for (const auto& row : rows) width = std::max(width, width_of(printable(row[i].text)));
    places.push_back({.begin = begin, .width = width});
    begin += width + 2;
  }
  return places;
}

std::vector<std::string> Table::lines() const {
  const std::vector<Place> places = this->places();
  std::vector<std::string> lines;
  const auto add = [&](const auto& text_of) {
    std::string& line = lines.emplace_back();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      line += (i == 0 ? "" : "  ") + padded(text_of(i), places[i].width, columns[i].is_number);
    }
    line.erase(line.find_last_not_of(' ') + 1);
  };
  add([&](std::size_t i) { return columns[i].name; });
  for (const auto& row : rows) add([&](std::size_t i) { return printable(row[i].text); });
  return lines;
}

}  // namespace lptop
