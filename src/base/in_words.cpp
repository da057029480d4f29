// The unit that a duration is said in.
#include "base/in_words.hpp"

#include <array>
#include <cstdint>

namespace leasepool::detail {

std::string in_words(Duration duration) {
  if (duration == Duration::max()) return "never";
  struct Unit {
    std::int64_t nanoseconds;
    const char* name;
  };
  constexpr std::array<Unit, 3> kUnits{{{.nanoseconds = 1'000'000'000, .name = " s"},
                                        {.nanoseconds = 1'000'000, .name = " ms"},
                                        {.nanoseconds = 1'000, .name = " us"}}};
  const std::int64_t count = duration.count();
  for (const Unit& unit : kUnits) {
    if (count % unit.nanoseconds == 0 || count / unit.nanoseconds >= 10 || count / unit.nanoseconds <= -10) {
      return std::to_string(count / unit.nanoseconds) + unit.name;
    }
  }
  return std::to_string(count) + " ns";
}

}  // namespace leasepool::detail
