// What goes wrong in a run: one call, where it is made, how it fails, and the how manieth of them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace faults {

// Whose calls: the program's, the fork servers' (also of a worker until it has its name), the workers'.
enum class Role { parent, server, worker };
inline constexpr std::size_t kRoles = 3;

[[nodiscard]] const char* name_of(Role role) noexcept;

struct Fault {
  std::string call;  // a system call's name, "ring.recv" and the like for an operation on the ring, "new"; empty: none
  int error = 0;
  Role role = Role::parent;
  long nth = 0;  // from 1; 0: every one
};

// As --only takes it: sendmsg:ENOBUFS:parent:3, or ...:all. Throws std::invalid_argument that says what is wrong.
[[nodiscard]] Fault fault_of(std::string_view text);
[[nodiscard]] std::string text_of(const Fault& fault);

// "ENOBUFS" and the like.
[[nodiscard]] std::string errno_name(int error);

}  // namespace faults
