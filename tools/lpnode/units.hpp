// Durations, sizes and endpoints as people write them.
#pragma once

#include <leasepool/duration.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lpnode {

// "250 ms", "5s", "2 min", "1 h", "never"; none where it is something else, or too long.
std::optional<leasepool::Duration> parse_duration(std::string_view text);

// "64 KiB", "4MiB", "2 GiB", "512 B"; none where it is something else, or too large.
std::optional<std::uint64_t> parse_size(std::string_view text);

struct HostAndPort {
  std::string host;
  int port = 0;
};

// "127.0.0.1:9464", "[::1]:9464"; none where it is something else.
std::optional<HostAndPort> parse_endpoint(std::string_view text);

}  // namespace lpnode
