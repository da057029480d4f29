// All system calls that the library makes, and how each can fail.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "fault.hpp"

namespace faults {

struct SystemCall {
  std::string_view name;
  std::vector<long> numbers;  // more than one where the C library has several ways
  std::vector<Role> roles;
  std::vector<int> errnos;     // empty: it is not made to fail
  std::string_view functions;  // by which src/ calls it, between blanks: tests/style/system_calls compares
};

[[nodiscard]] std::span<const SystemCall> system_calls();

// Operations on the ring, in the order of RingOperation.
struct RingRow {
  std::string_view name;
  std::vector<int> errnos;
};

[[nodiscard]] std::span<const RingRow> ring_rows();

}  // namespace faults
