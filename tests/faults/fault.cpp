// Faults as text, to name one on the command line and in the report.
#include "fault.hpp"

#include <cstring>
#include <stdexcept>
#include <vector>

namespace faults {

namespace {

constexpr int kLastErrno = 133;

int errno_of(const std::string& name) {
  for (int error = 1; error <= kLastErrno; ++error) {
    if (errno_name(error) == name) return error;
  }
  throw std::invalid_argument(name + " is no errno's name");
}

Role role_of(const std::string& name) {
  for (const Role role : {Role::parent, Role::server, Role::worker}) {
    if (name == name_of(role)) return role;
  }
  throw std::invalid_argument(name + " is none of parent, server, worker");
}

}  // namespace

const char* name_of(Role role) noexcept {
  switch (role) {
    case Role::parent: return "parent";
    case Role::server: return "server";
    case Role::worker: return "worker";
  }
  return "?";
}

std::string errno_name(int error) {
  const char* const name = ::strerrorname_np(error);
  return name == nullptr ? std::to_string(error) : name;
}

Fault fault_of(std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(':', at), text.size());
    parts.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  if (parts.size() != 4) throw std::invalid_argument("a fault is CALL:ERRNO:ROLE:N, N a number or all");
  return {.call = parts[0],
          .error = errno_of(parts[1]),
          .role = role_of(parts[2]),
          .nth = parts[3] == "all" ? 0 : std::stol(parts[3])};
}

std::string text_of(const Fault& fault) {
  if (fault.call.empty()) return "nothing";
  return fault.call + ':' + errno_name(fault.error) + ':' + name_of(fault.role) + ':' +
         (fault.nth == 0 ? "all" : std::to_string(fault.nth));
}

}  // namespace faults
