// One run of the scenario, in processes of its own, with one fault; and what is to be said of how it went.
#pragma once

#include <array>
#include <map>
#include <string>

#include "fault.hpp"
#include "scenario.hpp"

namespace faults {

enum class Verdict {
  succeeded,    // nothing failed, though something was refused
  typed_error,  // what failed said so
  not_reached,  // there was no such call in this run
  late,         // something that should have failed at once waited until its time was over
  wrong,        // a wrong result, or an exception of no type of ours
  hung,
  ended,  // by a signal, or before its end
  leaked,
  unclean,  // what came after it failed, too, though nothing was refused any more
};
inline constexpr std::size_t kVerdicts = 9;

[[nodiscard]] const char* name_of(Verdict verdict) noexcept;
[[nodiscard]] constexpr bool is_bad(Verdict verdict) noexcept { return verdict > Verdict::not_reached; }

struct Calls {
  std::array<long, kRoles> of{};
};

// What a run with nothing refused has, to compare others with.
struct Baseline {
  int open_descriptors = 0;
  int processes = 0;
  std::map<std::string, Calls, std::less<>> calls;  // how many of each there were
};

struct Outcome {
  Verdict verdict = Verdict::succeeded;
  std::string said;    // by the scenario, in one line
  std::string output;  // its log and what it printed
};

struct Run {
  Fault fault;
  const Backend* backend = nullptr;
  bool with_stacks = false;  // of what hangs, by gdb
};

// Whether this system lets a process supervise another's system calls; empty, or why not.
[[nodiscard]] std::string why_not_supervised();

[[nodiscard]] Baseline measure(const Backend& backend);
// To be called in a process that does nothing else: it reaps whatever its descendants leave.
[[nodiscard]] Outcome run(const Run& run, const Baseline& baseline);

}  // namespace faults
