// What the functions of the node and their callers agree on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace jobs {

std::uint64_t count_primes(std::uint64_t limit);
std::string thumbnail_name(const std::string& picture, std::uint32_t width);

}  // namespace jobs
