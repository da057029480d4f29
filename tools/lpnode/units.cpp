// A whole number and its unit.
#include "units.hpp"

#include <charconv>
#include <span>
#include <system_error>

namespace lpnode {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t size;
};

std::optional<std::uint64_t> parse(std::string_view text, std::span<const Unit> units, std::uint64_t most) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  while (text.starts_with(' ')) text.remove_prefix(1);
  for (const Unit& unit : units) {
    if (unit.name != text) continue;
    if (number > most / unit.size) return std::nullopt;
    return number * unit.size;
  }
  return std::nullopt;
}

}  // namespace

std::optional<leasepool::Duration> parse_duration(std::string_view text) {
  static constexpr Unit kUnits[] = {{"ns", 1},
                                    {"us", 1'000},
                                    {"ms", 1'000'000},
                                    {"s", 1'000'000'000},
                                    {"min", 60'000'000'000},
                                    {"h", 3'600'000'000'000}};
  if (text == "never") return leasepool::Duration::max();
  const auto count = parse(text, kUnits, static_cast<std::uint64_t>(leasepool::Duration::max().count()));
  if (!count) return std::nullopt;
  return leasepool::Duration(static_cast<leasepool::Duration::rep>(*count));
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  static constexpr Unit kUnits[] = {{"B", 1},
                                    {"KiB", std::uint64_t{1} << 10},
                                    {"MiB", std::uint64_t{1} << 20},
                                    {"GiB", std::uint64_t{1} << 30},
                                    {"TiB", std::uint64_t{1} << 40}};
  return parse(text, kUnits, UINT64_MAX);
}

std::optional<HostAndPort> parse_endpoint(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  const bool has_brackets = host.starts_with('[') && host.ends_with(']');
  if (has_brackets) host = host.substr(1, host.size() - 2);
  if (host.empty() || has_brackets != host.contains(':')) return std::nullopt;
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return HostAndPort{.host = std::string(host), .port = port};
}

}  // namespace lpnode
