// The configuration of a node: a file in TOML, of which each key is known and checked.
#pragma once

#include <leasepool/options.hpp>
#include <leasepool/remote_options.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "units.hpp"

namespace lpnode {

// Its text names the file, the line, the key, the value and what to do.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Where the node shows what it does, by Loop::serve_stats().
struct StatsConfig {
  std::string socket{};  // "default", a path, or empty: none
  std::optional<HostAndPort> listen{};
  std::vector<std::string> hosts{};
};

struct Config {
  std::string file;
  std::vector<std::string> load;  // libraries with functions
  leasepool::RemoteOptions remote{};
  leasepool::ManagerOptions pools{};
  StatsConfig stats{};
  // Where each option was given: "RemoteOptions::servers" and its line.
  std::map<std::string, std::uint32_t, std::less<>> lines{};

  // What the library says of an option, with the key and the line that it was given in.
  [[nodiscard]] std::string located(std::string_view complaint) const;
};

// Throws ConfigError.
Config read_config(const std::string& file);

}  // namespace lpnode
