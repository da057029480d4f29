// Numbers as people read them.
#pragma once

#include <leasepool/duration.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace lpbench {

// "812 ns", "18.2 us", "3.41 ms", "2.15 s".
std::string human(leasepool::Duration duration);

// "1,234,567"
std::string grouped(std::uint64_t number);
std::string grouped(double number);  // rounded

// "12.3 MB", by powers of 1000.
std::string human_bytes(std::uint64_t bytes);

// "1 file", "2 files"
std::string counted(std::uint64_t number, std::string_view thing);

double seconds(leasepool::Duration duration);
leasepool::Duration to_duration(double seconds);

}  // namespace lpbench
