// Values as what they are to be, and what is said of those that are something else.
#include "section.hpp"

#include <algorithm>
#include <limits>
#include <sstream>

#include "units.hpp"

namespace lpnode {

namespace {

// As it stands in the file, or nearly so.
std::string shown(const toml::node& node) {
  std::ostringstream text;
  node.visit([&](const auto& value) { text << value; });
  constexpr std::size_t kMost = 60;
  std::string result = text.str();
  if (result.size() > kMost) result.replace(kMost, std::string::npos, "...");
  std::ranges::replace(result, '\n', ' ');
  return result;
}

}  // namespace

Section::Section(Config& config, const toml::table& file, std::string name, std::string options)
    : config_(config), name_(std::move(name)), options_(std::move(options)) {
  if (name_.empty()) {
    table_ = &file;
  } else if (const toml::node* const node = file.get(name_)) {
    table_ = node->as_table();
    if (table_ == nullptr) {
      throw ConfigError(at(*node) + ": " + name_ + " = " + shown(*node) + " must be a table: write [" + name_ +
                        "] and its keys below");
    }
  }
}

std::string Section::at(const toml::node& node) const {
  return config_.file + ":" + std::to_string(node.source().begin.line);
}

void Section::refuse(std::string_view key, const toml::node& node, const std::string& what) const {
  throw ConfigError(at(node) + ": " + (name_.empty() ? "" : "[" + name_ + "] ") + std::string(key) + " = " +
                    shown(node) + " " + what);
}

const toml::node* Section::find(std::string_view key) {
  known_.emplace_back(key);
  const toml::node* const node = table_ == nullptr ? nullptr : table_->get(key);
  if (node != nullptr && !options_.empty()) {
    config_.lines.insert_or_assign(options_ + "::" + std::string(key), node->source().begin.line);
  }
  return node;
}

void Section::take(std::string_view key, std::string& into) {
  const toml::node* const node = find(key);
  if (node == nullptr) return;
  const auto* const text = node->as_string();
  if (text == nullptr) refuse(key, *node, "must be a text in quotes");
  into = text->get();
}

void Section::take(std::string_view key, bool& into) {
  const toml::node* const node = find(key);
  if (node == nullptr) return;
  const auto* const value = node->as_boolean();
  if (value == nullptr) refuse(key, *node, "must be true or false");
  into = value->get();
}

void Section::take(std::string_view key, std::size_t& into) {
  const toml::node* const node = find(key);
  if (node == nullptr) return;
  const auto* const value = node->as_integer();
  if (value == nullptr || value->get() < 0) refuse(key, *node, "must be a whole number, not below 0");
  into = static_cast<std::size_t>(value->get());
}

void Section::take(std::string_view key, int& into) {
  const toml::node* const node = find(key);
  if (node == nullptr) return;
  const auto* const value = node->as_integer();
  if (value == nullptr || value->get() < std::numeric_limits<int>::min() ||
      value->get() > std::numeric_limits<int>::max()) {
    refuse(key, *node, "must be a whole number");
  }
  into = static_cast<int>(value->get());
}

void Section::take(std::string_view key, leasepool::TimeSpan& into) {
  const toml::node* const node = find(key);
  if (node == nullptr) return;
  const auto* const text = node->as_string();
  const auto duration = text == nullptr ? std::nullopt : parse_duration(text->get());
  if (!duration) {
    refuse(key, *node,
           "must be a duration in quotes: a whole number and ns, us, ms, s, min or h, as \"250 ms\", or \"never\"");
  }
  into = *duration;
}

void Section::take(std::string_view key, std::vector<std::string>& into) {
  const toml::node* const node = find(key);
  if (node == nullptr) return;
  const auto* const array = node->as_array();
  if (array == nullptr || !(array->empty() || array->is_homogeneous(toml::node_type::string))) {
    refuse(key, *node, "must be a list of texts in quotes, as [\"a\", \"b\"]");
  }
  for (const toml::node& element : *array) into.push_back(element.as_string()->get());
}

void Section::take(std::string_view key, HostAndPort& into) {
  const toml::node* const node = find(key);
  if (node == nullptr) return;
  const auto* const text = node->as_string();
  const auto endpoint = text == nullptr ? std::nullopt : parse_endpoint(text->get());
  if (!endpoint) {
    refuse(key, *node, "must be an address and a port in quotes, as \"127.0.0.1:9464\" or \"[::1]:9464\"");
  }
  into = *endpoint;
}

void Section::take_list(std::string_view key, std::string& into) {
  const toml::node* const node = find(key);
  if (node == nullptr) return;
  if (node->is_string()) return take(key, into);
  std::vector<std::string> texts;
  take(key, texts);
  into.clear();
  for (const std::string& text : texts) into += (into.empty() ? "" : ",") + text;
}

void Section::take_size(std::string_view key, std::size_t& into) {
  const toml::node* const node = find(key);
  if (node == nullptr) return;
  if (node->is_integer()) return take(key, into);
  const auto* const text = node->as_string();
  const auto size = text == nullptr ? std::nullopt : parse_size(text->get());
  if (!size) refuse(key, *node, "must be a number of bytes, or a text as \"64 MiB\": B, KiB, MiB, GiB or TiB");
  into = static_cast<std::size_t>(*size);
}

void Section::take_size(std::string_view key, std::optional<std::size_t>& into) {
  if (!has(key)) return;
  std::size_t size = 0;
  take_size(key, size);
  into = size;
}

void Section::end() const {
  if (table_ == nullptr) return;
  for (const auto& [key, node] : *table_) {
    if (std::ranges::find(known_, key.str()) != known_.end()) continue;
    std::string known;
    for (const std::string& name : known_) {
      if (known.find(name) == std::string::npos) known += (known.empty() ? "" : ", ") + name;
    }
    const bool is_table = node.is_table();
    throw ConfigError(at(node) + ": " + (name_.empty() ? "" : "[" + name_ + "] ") + std::string(key.str()) +
                      (is_table ? "" : " = " + shown(node)) + ": there is no such " + (is_table ? "table" : "key") +
                      "; those that there are: " + known);
  }
}

}  // namespace lpnode
