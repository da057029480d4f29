// What the calls of a chaos run do.
#pragma once

#include <cstdint>
#include <string>

namespace lpbench::chaos {

enum class Work : std::uint8_t { answer, fail, crash };

struct Request {
  std::string ledger{};  // its file
  std::uint64_t number = 0;
  Work work = Work::answer;
  std::uint32_t microseconds = 0;  // to sleep before
  std::string ballast{};
};

// Notes in the ledger that it runs; then sleeps and returns answer_to(request), throws what failure_of() says, or ends
// its process.
std::string run_noted(const Request& request);

std::string answer_to(const Request& request);
std::string failure_of(const Request& request);

}  // namespace lpbench::chaos
