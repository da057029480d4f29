// A test of code that uses leasepool: an hour passes, a worker crashes and all pools are taken, within a moment.
#include <leasepool/leasepool.hpp>
#include <leasepool/testing.hpp>

#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

int resize(int width) { return width / 2; }
LEASEPOOL_REGISTER(resize);

// What is tested: tries again when a worker crashes, a minute later, and says so when there is no room.
leasepool::Task<std::string> thumbnail(leasepool::Loop& loop, leasepool::LeasedExecutorManager& manager, int width) {
  for (int attempt = 1; attempt <= 3; ++attempt) {
    try {
      auto lease = co_await manager.acquire({.owner = "thumbnails", .timeout = 10s});
      const int half = co_await lease.run(resize, width);
      co_return std::to_string(half) + " at attempt " + std::to_string(attempt);
    } catch (const leasepool::LeasePoolError& error) {
      if (error.code() == leasepool::Errc::timed_out) co_return "busy";
      if (error.code() != leasepool::Errc::worker_crashed) throw;
    }
    co_await loop.sleep(1min);
  }
  co_return "gave up";
}

// The test: each line of it would take minutes otherwise, or could not be brought about.
bool check(const char* what, bool holds) {
  std::cout << (holds ? "ok: " : "FAILED: ") << what << '\n';
  return holds;
}

int main() {
  leasepool::testing::Simulation sim;  // needs no init()
  leasepool::LeasedExecutorManager manager(
      sim.loop(), {.backend = leasepool::ExecutorBackend::process, .max_pools = 2, .workers_per_pool = 1});
  manager.start_async([](const leasepool::Result<void>&) {});
  sim.run();

  std::string answer;
  const auto ask = [&]() -> leasepool::Task<> {
    answer.clear();
    auto answering = thumbnail(sim.loop(), manager, 640);
    answer = co_await answering;
  };
  bool all = true;

  sim.loop().spawn(ask());
  sim.run();
  all &= check("a picture is resized", answer == "320 at attempt 1");

  sim.set_call_duration(5s);
  sim.loop().spawn(ask());
  sim.advance(1s);
  all &= check("a call is under way", sim.running_calls() == 1 && answer.empty());
  all &= check("its worker crashes", sim.crash_worker());
  sim.advance(59s);
  all &= check("no second attempt comes before a minute has passed", answer.empty() && sim.running_calls() == 0);
  sim.advance(6s);
  all &= check("it comes then", answer == "320 at attempt 2");

  const auto taken = sim.take_all_pools(manager);
  sim.loop().spawn(ask());
  sim.advance(9s);
  all &= check("where all pools are taken, it waits for ten seconds", answer.empty());
  sim.advance(1s);
  all &= check("and says so", answer == "busy");
  return all ? 0 : 1;
}
