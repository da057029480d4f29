// ManagerOptions::trace: the file as who opens it finds it, while its manager runs calls, and what may go wrong.
#include <sys/resource.h>
#include <sys/stat.h>
#include <leasepool/leasepool.hpp>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "public/support.hpp"
#include "support/child.hpp"
#include "support/temporary_directory.hpp"

namespace trace_test {
namespace {

using Json = nlohmann::json;
using leasepool::test::TemporaryDirectory;

// Throws where it is no JSON.
std::vector<Json> read(const std::string& path) {
  std::ifstream file(path);
  return Json::parse(file).get<std::vector<Json>>();
}

bool has(const std::string& path, const std::string& text) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {}).find(text) != std::string::npos;
}

std::string text_of(const Json& event, const char* key) { return event.value(key, std::string()); }
std::string argument(const Json& event, const char* key) {
  return event.contains("args") && event["args"].contains(key) ? event["args"][key].get<std::string>() : std::string();
}

std::vector<Json> named(const std::vector<Json>& events, const std::string& phase, const std::string& name) {
  std::vector<Json> found;
  std::ranges::copy_if(events, std::back_inserter(found), [&](const Json& event) {
    return text_of(event, "ph") == phase && text_of(event, "name") == name;
  });
  return found;
}
std::vector<Json> of_phase(const std::vector<Json>& events, const std::string& phase, const std::string& category) {
  std::vector<Json> found;
  std::ranges::copy_if(events, std::back_inserter(found), [&](const Json& event) {
    return text_of(event, "ph") == phase && text_of(event, "cat") == category;
  });
  return found;
}

// What a viewer relies on: rows have names, what begins ends, runs on one row do not overlap and are within the life of
// whose row it is, and times are those of the manager's life.
void check_is_sound(const std::vector<Json>& events, lp::Duration life) {
  constexpr double kRounding = 0.002;  // of microseconds as doubles
  std::map<int, std::string> names;
  std::map<int, int> open;
  std::map<std::pair<std::string, std::string>, int> open_async;
  std::map<int, std::vector<std::pair<double, double>>> runs;
  std::map<int, std::pair<double, double>> lives;
  for (const Json& event : events) {
    const std::string phase = text_of(event, "ph");
    const int row = event.at("tid");
    CHECK(event.at("pid").get<int>() >= 1);
    const double at = event.at("ts");
    CHECK(at >= 0);
    CHECK(at + event.value("dur", 0.0) <= std::chrono::duration<double, std::micro>(life).count());
    if (phase == "M") names[row] = argument(event, "name");
    if (phase == "B") ++open[row];
    if (phase == "E") CHECK(--open[row] >= 0);
    const std::string name = text_of(event, "name");
    if (phase == "B" && (name == "thread" || name == "worker process")) lives[row].first = at;
    if (phase == "E" && lives.contains(row)) lives[row].second = at;
    if (phase == "b") ++open_async[{text_of(event, "cat"), event.at("id")}];
    if (phase == "e") CHECK(--open_async[{text_of(event, "cat"), event.at("id")}] >= 0);
    if (phase == "X") runs[row].emplace_back(at, at + event.at("dur").get<double>());
    CHECK(names.contains(row));
  }
  for (const auto& [row, count] : open) CHECK(count == 0);
  for (const auto& [id, count] : open_async) CHECK(count == 0);
  for (auto& [row, spans] : runs) {
    std::ranges::sort(spans);
    for (std::size_t i = 1; i < spans.size(); ++i) CHECK(spans[i - 1].second <= spans[i].first + kRounding);
    if (!lives.contains(row)) continue;
    CHECK(lives[row].first <= spans.front().first + kRounding);
    CHECK(spans.back().second <= lives[row].second + kRounding);
  }
}

// Runs a body as on_manager() does, and reads the trace when the manager is gone.
template <class Body>
std::vector<Json> trace_of(lp::ManagerOptions options, Body body) {
  const TemporaryDirectory directory;
  options.trace.path = directory / "trace.json";
  const auto before = std::chrono::steady_clock::now();
  on_manager(options, std::move(body));
  auto events = read(options.trace.path);
  check_is_sound(events, std::chrono::steady_clock::now() - before);
  return events;
}

TEST_CASE("each call has its run on its worker's row, and its wait") {
  lp::ManagerStats stats;
  const auto events = trace_of(options_for(both_backends()), [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire({.owner = "amy \"of\" \xff"});
    for (std::uint64_t i = 0; i < 10; ++i) {
      auto call = lease.run(square, i);
      (void)co_await call;
    }
    int passed = 0;
    for (int i = 0; i < 4; ++i) lease.run_async(pass_gate, i, [&](const lp::Result<int>&) { ++passed; });
    co_await until_entered(loop, 2);
    open_gate();
    co_await until(loop, [&] { return passed == 4; });
    auto failing = message_of(lease.run(throw_out_of_range, "too far"));
    (void)co_await failing;
    lease.release();
    stats = manager.stats();
  });
  const auto runs = of_phase(events, "X", "call");
  CHECK(runs.size() == stats.calls_completed + stats.calls_failed);
  CHECK(runs.size() == stats.call_run.count);
  CHECK(runs.size() == 15);
  for (const Json& run : runs) {
    CHECK(argument(run, "owner") == "amy \"of\" \uFFFD");
    const bool fails = text_of(run, "name").find("throw_out_of_range") != std::string::npos;
    CHECK(argument(run, "outcome") == (fails ? "the function threw an exception" : "ok"));
  }
  // Two of the four were in the gate at once, and the others found both workers there.
  std::set<int> rows_of_gate;
  for (const Json& run : runs) {
    if (text_of(run, "name").find("pass_gate") != std::string::npos) rows_of_gate.insert(run["tid"].get<int>());
  }
  CHECK(rows_of_gate.size() == 2);
  int waited = 0;
  for (const Json& wait : of_phase(events, "b", "wait")) {
    if (text_of(wait, "name").find("pass_gate") != std::string::npos) ++waited;
  }
  CHECK(waited >= 2);
  const auto leases = named(events, "B", "amy \"of\" \uFFFD");
  REQUIRE(leases.size() == 1);
  CHECK_THAT(argument(leases[0], "acquired_at"), ContainsSubstring("trace_test.cpp:"));
  CHECK(leases[0]["args"]["lease"] == runs[0]["args"]["lease"]);
  CHECK(named(events, "B", stats.backend == ExecutorBackend::thread ? "thread" : "worker process").size() == 2);
}

TEST_CASE("a crash, and the worker that came instead, are in the trace") {
  const auto events =
      trace_of(options_for(ExecutorBackend::process, 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
        auto lease = co_await manager.acquire({.owner = "bob"});
        auto crashing = failure_of(lease.run(die_by_signal, SIGKILL));
        const auto code = co_await crashing;
        CHECK(code == Errc::worker_crashed);
        co_await until(loop, [&] { return manager.stats().workers_started == 2; });
        auto call = lease.run(square, 2);
        (void)co_await call;
        lease.release();
      });
  CHECK(named(events, "i", "crashed").size() == 1);
  CHECK(named(events, "i", "ready").size() == 2);
  const auto runs = of_phase(events, "X", "call");
  REQUIRE(runs.size() == 2);
  CHECK(argument(runs[0], "outcome") == "worker crashed");
  CHECK(runs[0]["tid"] != runs[1]["tid"]);
  const auto ends = of_phase(events, "E", "life");
  CHECK(std::ranges::any_of(ends, [&](const Json& end) {
    return end["tid"] == runs[0]["tid"] && argument(end, "end").find("(SIGKILL, Killed)") != std::string::npos;
  }));
}

TEST_CASE("an expiry, a revocation and a worker that was killed for it are in the trace") {
  lp::ManagerOptions options = options_for(ExecutorBackend::process, 1, 1);
  options.lease_grace = 20ms;
  const auto events = trace_of(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire({.owner = "eve", .lease_duration = 20ms});
    std::optional<Errc> code;
    lease.run_async(pass_gate, 1,
                    [&](const lp::Result<int>& result) { code = static_cast<Errc>(result.error().code().value()); });
    co_await until(loop, [&] { return code.has_value(); });
    CHECK(code == Errc::lease_expired);
    open_gate();
  });
  CHECK(named(events, "i", "expired").size() == 1);
  CHECK(named(events, "i", "revoked").size() == 1);
  CHECK(named(events, "i", "killed").size() == 1);
  const auto leases = named(events, "B", "eve");
  REQUIRE(leases.size() == 1);
  CHECK(std::ranges::any_of(of_phase(events, "E", "life"), [&](const Json& end) {
    return end["tid"] == leases[0]["tid"] && argument(end, "end") == "revoked";
  }));
  const auto runs = of_phase(events, "X", "call");
  REQUIRE(runs.size() == 1);
  CHECK(argument(runs[0], "outcome") == "lease expired");
}

TEST_CASE("a call that never ran has its wait alone") {
  const auto events = trace_of(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire({.owner = "dan"});
    bool passed = false;
    lease.run_async(pass_gate, 1, [&](const lp::Result<int>&) { passed = true; });
    co_await until_entered(loop, 1);
    auto late = failure_of(lease.with({.queue_timeout = 1ms}).run(square, 2));
    const auto code = co_await late;
    CHECK(code == Errc::timed_out);
    open_gate();
    co_await until(loop, [&] { return passed; });
    lease.release();
    auto refused = failure_of(lease.run(square, 3));
    (void)co_await refused;
  });
  CHECK(of_phase(events, "X", "call").size() == 1);
  std::vector<std::string> outcomes;
  for (const Json& wait : of_phase(events, "b", "wait")) {
    if (!argument(wait, "outcome").empty()) outcomes.push_back(argument(wait, "outcome"));
  }
  CHECK(outcomes == std::vector<std::string>{"timed out", "lease expired"});
}

TEST_CASE("batches say how many items they have and why they went") {
  const auto events = trace_of(options_for(both_backends()), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    lp::WorkGrinder grinder(manager, {.batch_size_threshold = 3, .max_wait = 1h, .owner_prefix = "crusher"});
    co_await grinder.start();
    int ended = 0;
    for (std::uint64_t i = 0; i < 7; ++i) {
      grinder.submit_async(square, i, [&](const lp::Result<std::uint64_t>&) { ++ended; });
    }
    co_await until(loop, [&] { return ended == 6; });
    co_await grinder.stop();
    CHECK(ended == 7);
  });
  const auto batches = of_phase(events, "b", "batch");
  REQUIRE(batches.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(batches[i]["args"]["items"] == (i < 2 ? 3 : 1));
    CHECK(argument(batches[i], "flushed_by") == (i < 2 ? "size" : "stop"));
  }
  CHECK(of_phase(events, "X", "call").size() == 7);
}

TEST_CASE("a manager that starts again goes on with its trace, and workers that have served are in it") {
  lp::ManagerOptions options = options_for(ExecutorBackend::process, 1, 1);
  options.worker_reuse = lp::WorkerReuse::call;
  lp::ManagerStats stats;
  const auto events = trace_of(options, [&](Manager& manager) -> lp::Task<> {
    for (int round = 0; round < 2; ++round) {
      auto lease = co_await manager.acquire({.owner = "round"});
      for (std::uint64_t i = 0; i < 3; ++i) {
        auto call = lease.run(square, i);
        (void)co_await call;
      }
      lease.release();
      stats = manager.stats();
      if (round == 1) break;
      co_await manager.stop();
      co_await manager.start();
    }
  });
  CHECK(of_phase(events, "X", "call").size() == 6);
  CHECK(named(events, "B", "round").size() == 2);
  CHECK(named(events, "i", "recycled").size() == stats.workers_recycled);
  CHECK(named(events, "i", "ready").size() >= stats.workers_started);
}

TEST_CASE("a trace ends with max_bytes, and says so; calls go on") {
  lp::ManagerOptions options = options_for(ExecutorBackend::thread);
  const TemporaryDirectory directory;
  options.trace = {.path = directory / "trace.json", .max_bytes = std::size_t{64} << 10};
  on_manager(options, [](Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    for (std::uint64_t i = 0; i < 1000; ++i) {
      auto call = lease.run(square, i);
      const auto squared = co_await call;
      CHECK(squared == i * i);
    }
    lease.release();
  });
  const auto size = std::filesystem::file_size(options.trace.path);
  CHECK(size <= options.trace.max_bytes);
  CHECK(size > options.trace.max_bytes / 2);
  const auto events = read(options.trace.path);
  CHECK(text_of(events.back(), "name") == "the trace ends here");
  CHECK(events.back()["args"]["max_bytes"] == options.trace.max_bytes);
  struct stat status{};
  REQUIRE(::stat(options.trace.path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0600U);
}

TEST_CASE("a start whose trace cannot be opened says so, and can be tried again") {
  const TemporaryDirectory directory;
  lp::ManagerOptions options = options_for(both_backends());
  options.trace.path = directory / "missing/trace.json";
  on_loop(options.backend, [&](lp::Loop& loop, ExecutorBackend) -> lp::Task<> {
    Manager manager(loop, options);
    auto starting = message_of(manager.start());
    const std::string message = co_await starting;
    CHECK_THAT(message, ContainsSubstring("TraceOptions::path = \"" + options.trace.path + "\""));
    CHECK_THAT(message, ContainsSubstring("No such file or directory"));
    std::filesystem::create_directory(directory / "missing");
    co_await manager.start();
    Manager other(loop, options);
    auto starting_other = message_of(other.start());
    const std::string message_of_other = co_await starting_other;
    CHECK_THAT(message_of_other, ContainsSubstring("another manager writes its trace to it"));
    co_await manager.stop();
  });
  (void)read(options.trace.path);
}

TEST_CASE("a device takes the traces of many") {
  lp::ManagerOptions options = options_for(ExecutorBackend::thread);
  options.trace.path = "/dev/null";
  on_manager(options, [&](lp::Loop& loop, Manager& /*first*/) -> lp::Task<> {
    Manager other(loop, options);
    auto starting = message_of(other.start());
    const std::string message = co_await starting;
    CHECK(message == "");
    co_await other.stop();
  });
}

TEST_CASE("what a trace cannot be is refused with the manager") {
  lp::Loop loop;
  lp::ManagerOptions options = options_for(ExecutorBackend::thread);
  options.trace.max_bytes = 1000;
  CHECK_THROWS_WITH(Manager(loop, options), ContainsSubstring("TraceOptions::max_bytes = 1000"));
  options.trace = {.path = std::string("a\0b", 3)};
  CHECK_THROWS_AS(Manager(loop, options), std::invalid_argument);
}

TEST_CASE("a disk that is full costs the trace, not the calls, and is logged once") {
  lp::ManagerOptions options = options_for(both_backends());
  options.trace.path = "/dev/full";
  std::vector<std::string> lines;
  options.log = [&](const lp::LogRecord& record) { lines.emplace_back(record.text); };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    std::uint64_t calls = 0;
    while (lines.empty()) {
      auto call = lease.run(square, 7);
      const auto squared = co_await call;
      CHECK(squared == 49);
      if (++calls % 64 == 0) co_await loop.sleep(1ms);
    }
    lease.release();
  });
  REQUIRE(lines.size() == 1);
  CHECK_THAT(lines[0], ContainsSubstring("\"/dev/full\"") && ContainsSubstring("No space left on device"));
}

// In a child, as the limit is a whole process's.
TEST_CASE("RLIMIT_FSIZE ends a trace without a signal, with what was there before") {
  const TemporaryDirectory directory;
  lp::ManagerOptions options = options_for(ExecutorBackend::thread);
  options.trace.path = directory / "trace.json";
  const auto end = leasepool::test::run_in_child([&] {
    const rlimit limit{.rlim_cur = 8192, .rlim_max = 8192};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) throw std::runtime_error("setrlimit");
    int warnings = 0;
    options.log = [&](const lp::LogRecord& record) {
      if (record.text.find("File too large") != std::string_view::npos) ++warnings;
    };
    on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
      auto lease = co_await manager.acquire({.owner = "first"});
      co_await until(loop, [&] { return has(options.trace.path, "first"); });
      while (warnings == 0) {
        auto call = lease.run(square, 7);
        (void)co_await call;
        co_await loop.sleep(100us);
      }
      lease.release();
    });
    if (warnings != 1) throw std::runtime_error("warned " + std::to_string(warnings) + " times");
  });
  CAPTURE(end.output);
  CHECK(end.exited_with(0));
  CHECK(std::filesystem::file_size(options.trace.path) <= 8192);
  CHECK(named(read(options.trace.path), "B", "first").size() == 1);
}

TEST_CASE("a program that is killed leaves a trace that can be opened") {
  const TemporaryDirectory directory;
  lp::ManagerOptions options = options_for(ExecutorBackend::thread);
  options.trace.path = directory / "trace.json";
  const auto end = leasepool::test::run_in_child([&] {
    on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
      auto lease = co_await manager.acquire({.owner = "doomed"});
      co_await until(loop, [&] { return has(options.trace.path, "doomed"); });
      ::raise(SIGKILL);
    });
  });
  CHECK(end.killed_by(SIGKILL));
  const auto events = read(options.trace.path);
  CHECK(named(events, "B", "doomed").size() == 1);
  CHECK(of_phase(events, "E", "life").empty());
}

}  // namespace
}  // namespace trace_test
