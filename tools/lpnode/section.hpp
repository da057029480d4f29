// Section: one table of a configuration file. Each key is taken once, as what it is to be; what is left is unknown.
#pragma once

#include <leasepool/duration.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config.hpp"
#include "toml.hpp"
#include "units.hpp"

namespace lpnode {

class Section {
 public:
  // The table of this name; the file's own, where the name is empty. `options` is the struct that its keys are of.
  Section(Config& config, const toml::table& file, std::string name, std::string options);

  void take(std::string_view key, std::string& into);
  void take(std::string_view key, bool& into);
  void take(std::string_view key, std::size_t& into);
  void take(std::string_view key, int& into);
  void take(std::string_view key, leasepool::TimeSpan& into);
  void take(std::string_view key, std::vector<std::string>& into);
  void take(std::string_view key, HostAndPort& into);
  template <class T>
  void take(std::string_view key, std::optional<T>& into) {
    if (T value{}; has(key)) {
      take(key, value);
      into = value;
    }
  }
  // Several, which go into one text with commas between them; or that text.
  void take_list(std::string_view key, std::string& into);
  // Bytes: a number, or a text with a unit.
  void take_size(std::string_view key, std::size_t& into);
  void take_size(std::string_view key, std::optional<std::size_t>& into);
  // One of these words, and what it means.
  template <class T>
  void take_word(std::string_view key, T& into, std::initializer_list<std::pair<std::string_view, T>> words) {
    std::string text;
    const toml::node* const node = find(key);
    if (node == nullptr) return;
    take(key, text);
    std::string known;
    for (const auto& [word, meaning] : words) {
      if (word == text) {
        into = meaning;
        return;
      }
      known += (known.empty() ? "\"" : " or \"") + std::string(word) + "\"";
    }
    refuse(key, *node, "must be " + known);
  }
  // A table that is another section.
  void know(std::string_view key) { known_.emplace_back(key); }
  [[nodiscard]] bool has(std::string_view key) const { return table_ != nullptr && table_->contains(key); }

  // Behind the last take(): a key that was not taken is a mistake.
  void end() const;

 private:
  const toml::node* find(std::string_view key);
  [[noreturn]] void refuse(std::string_view key, const toml::node& node, const std::string& what) const;
  [[nodiscard]] std::string at(const toml::node& node) const;

  Config& config_;
  const toml::table* table_ = nullptr;
  std::string name_;
  std::string options_;
  std::vector<std::string> known_;
};

}  // namespace lpnode
