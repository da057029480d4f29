// One use of all that the library does, twice: first with something going wrong, then with nothing.
#pragma once

#include <span>
#include <string_view>

namespace faults {

// What the scenario runs on.
struct Backend {
  std::string_view name;
  bool processes;
  bool shared_memory;
  bool sandboxed;   // Sandbox::compute()
  bool with_files;  // Sandbox::files()
  bool io = false;  // the loop's own sockets and files, and no pool
  bool on_epoll = false;
  bool clean = false;   // a worker serves one lease
  bool remote = false;  // of a node in the same program
};

// Where the NATS server is that a scenario on a node needs.
inline constexpr const char* kNatsVariable = "LEASEPOOL_FAULTS_NATS";

[[nodiscard]] std::span<const Backend> backends() noexcept;
// Throws std::invalid_argument.
[[nodiscard]] const Backend& backend_of(std::string_view name);

// The process of a run; returns what main() does.
int run_scenario(std::string_view backend);

}  // namespace faults
