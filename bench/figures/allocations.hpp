// Counts the memory that is allocated with new. Linking allocations.cpp in replaces the global operators.
#pragma once

#include <cstdint>

namespace figures {

// Only what happens while this is on is counted. Off, it costs one relaxed load an allocation.
void count_allocations(bool on);

// Bytes that the allocator gave out less those that it got back, its own headers and padding included.
std::int64_t allocated_bytes();

}  // namespace figures
