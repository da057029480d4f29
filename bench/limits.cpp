// What this machine can do at best, in the units of the other figures: no call can be faster than what it is made of.
// Two threads on processors of their own, and on one where they sleep by turns; bare system calls; no line of the
// library's.
#include <linux/futex.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "figures/report.hpp"

using figures::Unit;
using std::chrono::steady_clock;

namespace {

void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

// As the program was started.
const cpu_set_t& allowed_processors() {
  static const cpu_set_t allowed = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) != 0) throw std::runtime_error("sched_getaffinity");
    return set;
  }();
  return allowed;
}

// Keeps the calling thread on the n-th of those, where there are several.
class OnProcessor {
 public:
  explicit OnProcessor(int n) {
    const cpu_set_t& allowed = allowed_processors();
    if (CPU_COUNT(&allowed) < 2) return;
    for (std::size_t processor = 0; processor < CPU_SETSIZE; ++processor) {
      if (!CPU_ISSET(processor, &allowed) || n-- != 0) continue;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(processor, &one);
      (void)::sched_setaffinity(0, sizeof one, &one);
      return;
    }
  }
  OnProcessor(const OnProcessor&) = delete;
  OnProcessor& operator=(const OnProcessor&) = delete;
  ~OnProcessor() { (void)::sched_setaffinity(0, sizeof(cpu_set_t), &allowed_processors()); }
};

// Of several rounds the best, as others have the machine at times; each the mean of what it does so often; nanoseconds.
template <class Do>
double each(std::size_t rounds, std::size_t times, const Do& once) {
  auto best = steady_clock::duration::max();
  for (std::size_t round = 0; round < rounds; ++round) {
    const auto begin = steady_clock::now();
    for (std::size_t i = 0; i < times; ++i) once();
    best = std::min(best, steady_clock::now() - begin);
  }
  return static_cast<double>(best.count()) / static_cast<double>(times);
}

struct alignas(64) Line {
  std::atomic<std::uint32_t> value = 0;
};

// From one thread to the other and back: `wait(line, seen)` returns when the line's value is no longer `seen`,
// `tell(line)` has changed it. What the other end does is the same.
template <class Wait, class Tell>
double round_trip(std::size_t rounds, std::size_t times, int others, const Wait& wait, const Tell& tell) {
  const OnProcessor here(0);
  Line there;
  Line back;
  const auto total = static_cast<std::uint32_t>(rounds * times);
  const std::jthread other([&] {
    const OnProcessor there_runs(others);
    for (std::uint32_t i = 0; i < total; ++i) {
      wait(there, i);
      back.value.store(i + 1);
      tell(back);
    }
  });
  std::uint32_t sent = 0;
  return each(rounds, times, [&] {
    there.value.store(++sent);
    tell(there);
    wait(back, sent - 1);
  });
}

double ping_pong(std::size_t rounds, std::size_t times) {
  return round_trip(
      rounds, times, 1,
      [](const Line& line, std::uint32_t seen) {
        while (line.value.load(std::memory_order_acquire) == seen) relax();
      },
      [](const Line& /*told*/) {});
}

// The same where a message is more lines than the one that announces it, each of which both ends read and then write,
// as what runs a call reads its argument and writes its result.
enum class Found { in_the_one_before, beforehand };

double round_trip_with(std::size_t more, Found found, std::size_t rounds, std::size_t times) {
  struct alignas(64) Carried {
    std::atomic<std::uint64_t> count = 0;
    std::atomic<Carried*> next = nullptr;
  };
  std::vector<Carried> lines(more);
  for (std::size_t i = 0; i + 1 < more; ++i) lines[i].next = &lines[i + 1];
  const auto change = [](Carried& line) {
    line.count.store(line.count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  };
  const auto change_all = [&] {
    if (found == Found::beforehand) {
      for (Carried& line : lines) change(line);
    } else {
      for (Carried* line = lines.data(); line != nullptr; line = line->next.load(std::memory_order_relaxed)) {
        change(*line);
      }
    }
  };
  return round_trip(
      rounds, times, 1,
      [&](const Line& line, std::uint32_t seen) {
        while (line.value.load(std::memory_order_acquire) == seen) relax();
        change_all();
      },
      [](const Line& /*told*/) {});
}

void add_round_trips(figures::Report& report, std::size_t rounds, std::size_t times) {
  const auto add = [&](std::size_t more, Found found, const char* how) {
    report.add({.figure = {},
                .what = "two threads' round trip of " + std::to_string(more + 1) + " lines each way" + how,
                .value = round_trip_with(more, found, rounds, times),
                .unit = Unit::nanoseconds});
  };
  add(1, Found::beforehand, "");
  for (const std::size_t more : {std::size_t{2}, std::size_t{3}}) {
    add(more, Found::in_the_one_before, ", each found in the one before");
    add(more, Found::beforehand, ", found beforehand");
  }
}

std::uint32_t* word_of(const Line& line) noexcept {
  return reinterpret_cast<std::uint32_t*>(const_cast<std::atomic<std::uint32_t>*>(&line.value));
}

double futex_round_trip(std::size_t rounds, std::size_t times, int others) {
  return round_trip(
      rounds, times, others,
      [](const Line& line, std::uint32_t seen) {
        while (line.value.load() == seen) ::syscall(SYS_futex, word_of(line), FUTEX_WAIT_PRIVATE, seen, nullptr);
      },
      [](const Line& line) { ::syscall(SYS_futex, word_of(line), FUTEX_WAKE_PRIVATE, 1); });
}

double eventfd_round_trip(std::size_t rounds, std::size_t times, int others) {
  const OnProcessor here(0);
  const int there = ::eventfd(0, EFD_CLOEXEC);
  const int back = ::eventfd(0, EFD_CLOEXEC);
  if (there < 0 || back < 0) throw std::runtime_error("eventfd");
  const auto say = [](int fd) {
    const std::uint64_t one = 1;
    if (::write(fd, &one, sizeof one) != sizeof one) throw std::runtime_error("write to an eventfd");
  };
  const auto hear = [](int fd) {
    std::uint64_t count = 0;
    if (::read(fd, &count, sizeof count) != sizeof count) throw std::runtime_error("read from an eventfd");
  };
  double time = 0;
  {
    const std::jthread other([&] {
      const OnProcessor there_runs(others);
      for (std::size_t i = 0; i < rounds * times; ++i) {
        hear(there);
        say(back);
      }
    });
    time = each(rounds, times, [&] {
      say(there);
      hear(back);
    });
  }
  ::close(there);
  ::close(back);
  return time;
}

// One way, of a thread that has slept since the last time. On one processor, which is nearest: the kernel wakes as it
// likes.
double wake_up(std::size_t times) {
  const OnProcessor here(0);
  Line bell;
  std::atomic<steady_clock::rep> rung_at = 0;
  std::vector<double> delays;
  const auto now = [] { return steady_clock::now().time_since_epoch().count(); };
  {
    const std::jthread sleeper([&] {
      const OnProcessor there_runs(0);
      for (std::uint32_t seen = 0; seen < times; ++seen) {
        while (bell.value.load() == seen) ::syscall(SYS_futex, word_of(bell), FUTEX_WAIT_PRIVATE, seen, nullptr);
        delays.push_back(static_cast<double>(now() - rung_at.load()));
      }
    });
    for (std::size_t i = 0; i < times; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      rung_at.store(now());
      bell.value.fetch_add(1);
      ::syscall(SYS_futex, word_of(bell), FUTEX_WAKE_PRIVATE, 1);
    }
  }
  return figures::median(std::move(delays));
}

double copy_speed(std::size_t rounds) {
  constexpr std::size_t kSize = std::size_t{64} << 20;
  std::vector<char> from(kSize, 'x');
  std::vector<char> to(kSize, 'y');
  const double nanoseconds = each(rounds, 2, [&] {
    std::memcpy(to.data(), from.data(), kSize);
    asm volatile("" : : "r"(to.data()) : "memory");
  });
  return static_cast<double>(kSize) / nanoseconds * 1e9;
}

}  // namespace

int main(int argc, char** argv) try {
  const figures::Options options(
      argc, argv, "What this machine can do at best.",
      {{"times", 20'000, "of each, in each round"}, {"rounds", 9, "the best of which counts"}},
      {{"times", 200, {}}, {"rounds", 3, {}}});
  const std::size_t rounds = options.count("rounds");
  const std::size_t times = options.count("times");
  figures::Report report(options);
  const auto add = [&](const char* what, double value, Unit unit = Unit::nanoseconds) {
    report.add({.figure = {}, .what = what, .value = value, .unit = unit});
  };
  add("two threads' round trip over two cache lines", ping_pong(rounds, times));
  add("a reading of the clock", each(rounds, times, [] { (void)steady_clock::now(); }));
  add("a system call", each(rounds, times, [] { (void)::syscall(SYS_getppid); }));
  add("two threads' round trip that sleep on futexes", futex_round_trip(rounds, times / 10, 1));
  add("... on one processor", futex_round_trip(rounds, times / 10, 0));
  add("two threads' round trip that sleep on eventfds", eventfd_round_trip(rounds, times / 10, 1));
  add("... on one processor", eventfd_round_trip(rounds, times / 10, 0));
  add("a wake-up on one processor after 10 ms of idleness", wake_up(std::max<std::size_t>(times / 200, 1)));
  add_round_trips(report, rounds, times);
  add("memcpy of 64 MiB", copy_speed(rounds), Unit::bytes_per_second);
  report.note("Two threads are on a processor each, where nothing else is said.");
  report.print();
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
  return 1;
}
