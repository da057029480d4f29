// The table of messages in docs/errors.md, and which of its rows a message is.
#pragma once

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// A text in which each {placeholder} stands for one character or more.
class Pattern {
 public:
  explicit Pattern(const std::string& text) {
    std::size_t at = 0;
    for (std::size_t open = text.find('{'); open != std::string::npos; open = text.find('{', at)) {
      const std::size_t close = text.find('}', open);
      if (close == std::string::npos || !is_name(text.substr(open + 1, close - open - 1))) {
        throw std::runtime_error("a brace that is no placeholder in: " + text);
      }
      pieces_.push_back(text.substr(at, open - at));
      at = close + 1;
    }
    pieces_.push_back(text.substr(at));
  }

  [[nodiscard]] bool matches(std::string_view text) const {
    if (pieces_.size() == 1) return text == pieces_.front();
    if (!text.starts_with(pieces_.front()) || !text.ends_with(pieces_.back())) return false;
    std::size_t at = pieces_.front().size();
    const std::size_t end = text.size() - pieces_.back().size();
    for (std::size_t i = 1; i + 1 < pieces_.size(); ++i) {
      const std::size_t found = text.find(pieces_[i], at + 1);
      if (found == std::string_view::npos) return false;
      at = found + pieces_[i].size();
    }
    return at < end;
  }

  // How much of it is not left open: of two patterns that match, the one with more is meant.
  [[nodiscard]] std::size_t literal() const {
    std::size_t length = 0;
    for (const std::string& piece : pieces_) length += piece.size();
    return length;
  }

 private:
  static bool is_name(const std::string& text) {
    return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos;
  }
  std::vector<std::string> pieces_;
};

struct ErrorRow {
  std::string code;  // the heading that it stands below
  std::string text;  // as it stands in the table
  bool marked;       // with a dagger
  Pattern pattern;
  bool seen = false;
};

inline std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
  return text;
}

// Whether a program can bring it about only once, or before it has begun: tests/pool/alone holds these texts against
// their rows.
inline bool needs_own_process(const ErrorRow& row) {
  constexpr std::string_view kParts[] = {"two registered functions have the same id",
                                         "two registered functions have the same address",
                                         "need a fork server that was started while the program had one thread",
                                         "cannot enter {profile}",
                                         "the fork server does not answer",
                                         "both fork servers were killed",
                                         "cannot take on the identity",
                                         "worker processes need pidfds"};
  return std::ranges::any_of(kParts, [&](auto part) { return row.text.find(part) != std::string::npos; });
}

// Whether it takes a node to bring it about: tests/remote/errors_test.cpp holds these texts against their rows.
inline bool needs_node(const ErrorRow& row) {
  constexpr std::string_view kParts[] = {"node {node}",      "max_pools = {limit} ({reason})", "of a NATS server",
                                         "to a NATS server", "and wait = false; of max_pools", "is over: {reason}"};
  return !row.marked &&
         std::ranges::any_of(kParts, [&](auto part) { return row.text.find(part) != std::string::npos; });
}

// Rows look like: | `text` | when | what to do |, with a dagger behind the text of those that no test brings about.
// The manager, the grinder and the owner are the test's; braces that belong to C++ in a text are not placeholders.
inline std::vector<ErrorRow> read_errors_table(const std::string& file, const std::string& manager,
                                               const std::string& owner) {
  std::ifstream lines(file);
  if (!lines) throw std::runtime_error("cannot read " + file);
  std::vector<ErrorRow> rows;
  std::string code;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("## ")) code = line.substr(3);
    if (code.empty() || !line.starts_with("| `")) continue;
    const std::size_t end = line.find('`', 3);
    const std::string text = line.substr(3, end - 3);
    std::string expanded = replaced(text, "{lease}", "lease {id} of {owner} on {manager}");
    expanded = replaced(expanded, "{grinder}", manager);  // of the same name
    expanded = replaced(replaced(expanded, "{pool}", "{manager}-{id}"), "{manager}", manager);
    expanded = replaced(replaced(expanded, "{owner}", owner), "{ archive(member1, member2); }", "{code}");
    rows.push_back(
        {.code = code, .text = text, .marked = line.substr(end, 6) == "` \u2020 ", .pattern = Pattern(expanded)});
  }
  return rows;
}

// The row of a message; null if there is none.
inline ErrorRow* find_row(std::vector<ErrorRow>& rows, std::string_view code, std::string_view message) {
  ErrorRow* best = nullptr;
  for (ErrorRow& row : rows) {
    if (row.code != code || !row.pattern.matches(message)) continue;
    if (best == nullptr || row.pattern.literal() > best->pattern.literal()) best = &row;
  }
  return best;
}
