// A peer program's command line, and the line of JSON that it prints.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cpu_time.hpp"
#include "latencies.hpp"

namespace peers {

using Clock = std::chrono::steady_clock;

inline constexpr std::size_t kWorkers = 2;

enum class Pace {
  back_to_back,    // a call that has ended starts the next
  after_idleness,  // 10 ms after a call has ended comes the next
  by_schedule,     // calls_per_s, whether or not earlier ones have ended
};

struct Scenario {
  std::string_view name;
  std::size_t most_in_flight;
  Pace pace;
  int calls_per_s = 0;  // by_schedule alone
};

inline constexpr std::array kScenarios = {
    Scenario{"one", 1, Pace::back_to_back},
    Scenario{"flight64", 64, Pace::back_to_back},
    Scenario{"flight1024", 1024, Pace::back_to_back},
    Scenario{"idle", 1, Pace::after_idleness},
    Scenario{"paced1k", 4096, Pace::by_schedule, 1'000},
    Scenario{"paced10k", 4096, Pace::by_schedule, 10'000},
    Scenario{"paced100k", 4096, Pace::by_schedule, 100'000},
    Scenario{"grinder", 1024, Pace::back_to_back},  // of leasepool alone
};

// Ends the program at once, whatever is in flight.
[[noreturn]] inline void fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::_Exit(1);
}

struct Arguments {
  Scenario scenario;
  std::chrono::milliseconds duration;
};

inline Arguments parse_arguments(int count, char** arguments) {
  if (count == 3) {
    const double seconds = std::atof(arguments[2]);
    if (!(seconds >= 0.01 && seconds <= 3600)) fail("SECONDS is a number from 0.01 to 3600");
    for (const Scenario& scenario : kScenarios) {
      if (scenario.name == arguments[1]) {
        return {scenario, std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000))};
      }
    }
  }
  std::string names;
  for (const Scenario& scenario : kScenarios) names += ' ' + std::string(scenario.name);
  fail("usage: PROGRAM SCENARIO SECONDS   where SCENARIO is one of:" + names);
}

// What was measured; without latencies where reading a clock at each call would show in the rate.
struct Report {
  std::uint64_t calls = 0;
  std::uint64_t ticks = 0;  // of the timer of Pace::by_schedule
  std::chrono::nanoseconds elapsed{};
  std::chrono::nanoseconds cpu{};
  Latencies latencies{};

  void print(const char* peer, const std::string& version, const Scenario& scenario) const {
    if (calls == 0) fail("no call ended in the time given");
    const double seconds = std::chrono::duration<double>(elapsed).count();
    std::printf(R"({"peer": "%s", "version": "%s", "scenario": "%s", "seconds": %.3f, "calls": %llu, )", peer,
                version.c_str(), std::string(scenario.name).c_str(), seconds, static_cast<unsigned long long>(calls));
    std::printf(R"("calls_per_s": %.1f, "cpu_ns_per_call": %.1f)", static_cast<double>(calls) / seconds,
                static_cast<double>(cpu.count()) / static_cast<double>(calls));
    if (latencies.count() > 0) {
      std::printf(R"(, "p50_ns": %llu, "p99_ns": %llu)", static_cast<unsigned long long>(latencies.percentile(50)),
                  static_cast<unsigned long long>(latencies.percentile(99)));
    }
    if (scenario.pace == Pace::by_schedule) {
      std::printf(R"(, "offered_per_s": %d, "ticks_per_s": %.1f)", scenario.calls_per_s,
                  static_cast<double>(ticks) / seconds);
    }
    std::puts("}");
  }
};

}  // namespace peers
