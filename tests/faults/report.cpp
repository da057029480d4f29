// Prints to the standard output.
#include "report.hpp"

#include <cstdio>

namespace faults {

namespace {
constexpr std::size_t kProgressEach = 200;
}

void Report::add(const Run& run, const Outcome& outcome) {
  ++by_call_[run.fault.call][static_cast<std::size_t>(outcome.verdict)];
  ++done_;
  if (verbose_ || is_bad(outcome.verdict)) {
    std::printf("%s  %s on %s: %s\n", name_of(outcome.verdict), text_of(run.fault).c_str(),
                std::string(run.backend->name).c_str(), outcome.said.c_str());
    if (verbose_ || outcome.verdict == Verdict::ended || outcome.verdict == Verdict::hung) {
      std::printf("%s\n", outcome.output.c_str());
    }
  }
  if (done_ % kProgressEach == 0) std::printf("%zu of %zu runs\n", done_, planned_);
  std::fflush(stdout);
}

std::size_t Report::finish() const {
  std::array<std::size_t, kVerdicts> sum{};
  const auto print_row = [](const std::string& call, const std::array<std::size_t, kVerdicts>& counts) {
    std::printf("%-24s", call.c_str());
    for (const std::size_t count : counts) std::printf(" %11zu", count);
    std::printf("\n");
  };
  std::printf("%-24s", "call");
  for (std::size_t at = 0; at < kVerdicts; ++at) std::printf(" %11s", name_of(static_cast<Verdict>(at)));
  std::printf("\n");
  for (const auto& [call, counts] : by_call_) {
    print_row(call, counts);
    for (std::size_t at = 0; at < kVerdicts; ++at) sum[at] += counts[at];
  }
  print_row("all", sum);
  std::size_t bad = 0;
  for (std::size_t at = 0; at < kVerdicts; ++at) bad += is_bad(static_cast<Verdict>(at)) ? sum[at] : 0;
  return bad;
}

}  // namespace faults
