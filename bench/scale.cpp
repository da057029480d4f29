// M2: what one operation costs with a million queued calls, a hundred thousand waiters, ten thousand leases with
// deadlines or 64 workers, against a hundredth of that; and the memory of a queued call.
#include "figures/scale.hpp"

#include <leasepool/leasepool.hpp>

#include <algorithm>

namespace figures {

void compare_sizes(const Options& options, Report& report, const Scenario& scenario) {
  constexpr std::size_t kSmallPasses = 10;  // each is short
  Costs small;
  Costs large;
  const auto rounds = std::max<std::size_t>(1, options.count("rounds"));
  for (std::size_t round = 1; round <= rounds; ++round) {
    progress(options, scenario.name + ": round " + std::to_string(round) + " of " + std::to_string(rounds));
    scenario.measure(scenario.small, kSmallPasses, small);
    scenario.measure(scenario.large, 1, large);
  }
  const auto sized = [&](std::size_t size) { return text_of(static_cast<double>(size), Unit::count); };
  for (const auto& [name, costs] : large.values()) {
    const double at_small = median(small.values().at(name));
    const double at_large = median(costs);
    report.add({.figure = "M2",
                .what = scenario.name + ", " + name + ": " + text_of(at_large, Unit::nanoseconds) + " with " +
                        sized(scenario.large) + ' ' + scenario.unit + ", " + text_of(at_small, Unit::nanoseconds) +
                        " with " + sized(scenario.small),
                .value = at_large / at_small,
                .unit = Unit::ratio,
                .at_most = 1.5,
                .nanoseconds = at_large});
  }
}

}  // namespace figures

int main(int argc, char** argv) {
  figures::map_gate();
  leasepool::init();
  const figures::Options options(argc, argv, "The cost of one operation at a size and at a hundredth of it.",
                                 {{"rounds", 3, "of both sizes in turn", 1},
                                  {"calls", 1e6, "queued calls", 1e4},
                                  {"waiters", 1e5, "acquires that wait", 100},
                                  {"leases", 1e4, "leases with deadlines, each on a pool of one thread", 100},
                                  {"workers", 64, "of one pool", 1},
                                  {"worker-calls", 20'000, "calls for the cost of one with so many workers", 1}},
                                 {{"rounds", 1, {}},
                                  {"calls", 1e4, {}},
                                  {"waiters", 1e4, {}},
                                  {"leases", 200, {}},
                                  {"workers", 8, {}},
                                  {"worker-calls", 1000, {}}});
  figures::Report report(options);
  figures::scale_calls(options, report);
  figures::scale_waiters(options, report);
  figures::scale_leases(options, report);
  figures::scale_workers(options, report);
  report.note(
      "Medians. Running calls is wall time, the rest CPU time of the loop's thread, on which it happens alone; the "
      "first pass of each manager warms up. A queued call's memory is all that new gave out for it, with the "
      "allocator's own overhead and a callback of 8 bytes, less its argument of 8 bytes.");
  report.print();
}
