// Random SIGKILLs from outside while calls run: each call ends exactly once, and none runs twice. LEASEPOOL_KILLS sets
// how many, among ten times as many calls.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "processes.hpp"
#include "support/number_from.hpp"
#include "support/process_state.hpp"
#include "support/sanitized.hpp"

using namespace leasepool;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace {

// Fewer in the second and third run of these tests, in which calls go through sockets alone, or the loop is on epoll.
const bool kFirstRun = detail::shared_memory_by_default() && std::getenv("LEASEPOOL_ENGINE") == nullptr;
const auto kKills = static_cast<int>(test::number_from("LEASEPOOL_KILLS", test::kSanitized ? 200
                                                                          : kFirstRun      ? 10'000
                                                                                           : 1000));
const std::uint32_t kCalls = 10 * static_cast<std::uint32_t>(kKills);  // each way
constexpr std::uint32_t kMaxCalls = std::extent_v<decltype(pool_functions::SharedPage::runs)>;

constexpr int kBatch = 64;

// However slowly kills come, there are calls left for the last of them. Idle workers are killed, too.
std::uint32_t most_after(int kills) {
  const std::uint64_t company = kMaxCalls - kCalls;
  return kCalls +
         static_cast<std::uint32_t>(company * static_cast<std::uint64_t>(kills) / static_cast<std::uint64_t>(kKills));
}

// Kills the pool's workers, which it knows by their name, at random moments.
class Killer {
 public:
  explicit Killer(std::string name) : name_(std::move(name)), thread_([this] { run(); }) {}
  Killer(const Killer&) = delete;
  Killer& operator=(const Killer&) = delete;
  ~Killer() {
    stop_ = true;
    thread_.join();
  }
  [[nodiscard]] int kills() const { return kills_; }

 private:
  void run() {
    std::mt19937 random(20250103);  // NOLINT(cert-msc51-cpp): as good as any
    while (!stop_ && kills_ < kKills) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 1000));
      kill(random() % 16 == 0 ? some_worker(random()) : shared().last_runner.load());
    }
  }

  // Any of them, also one that has not come up yet.
  [[nodiscard]] static pid_t some_worker(std::size_t number) {
    const std::vector<pid_t> processes = test::child_processes();
    return processes.empty() ? 0 : processes[number % processes.size()];
  }

  void kill(pid_t process) {
    if (process == 0) return;
    const test::ProcessHandle worker(process);  // first, so that the number cannot have changed hands
    if (worker.dead() || test::process_name(process) != name_) return;
    worker.kill(SIGKILL);
    ++kills_;
  }

  const std::string name_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> kills_ = 0;
  std::thread thread_;
};

}  // namespace

TEST_CASE("under random kills each call ends once and none runs twice", "[crash][W2][W3]") {
  const bool in_batches = GENERATE(false, true);
  CAPTURE(in_batches);
  pool_functions::reset_shared();
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(4);
  options.name = "rk" + std::to_string(::getpid());
  const std::string name = options.name;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());

  std::vector<std::shared_ptr<test::Call<std::uint32_t>>> calls;
  std::uint32_t submitted = 0;
  std::size_t ended = 0;
  {
    Killer killer(name);
    const auto keep_busy = [&] {
      ended = pool.sink->ended.size();
      // As long as there are kills to come there are calls: those past kCalls are no more than company.
      const auto more_to_come = [&] {
        const int kills = killer.kills();
        return submitted < kCalls || (kills < kKills && submitted < most_after(kills));
      };
      while (!in_batches && submitted < ended + 16 && more_to_come()) {
        calls.push_back(pool.call(pool_functions::count_run, submitted, 100));
        ++submitted;
      }
      if (in_batches && submitted < ended + 16 && more_to_come()) {
        detail::IntrusiveQueue<detail::Job> batch;
        for (int i = 0; i < kBatch && more_to_come(); ++i, ++submitted) {
          std::shared_ptr<test::Call<std::uint32_t>> call;
          auto job = test::make_test_job(call, pool_functions::count_run, submitted, 100);
          job->state.id = submitted + 1;
          job->state.lease = pool.sink;
          job->state.of_batch = true;
          batch.push_back(std::move(job));
          calls.push_back(std::move(call));
        }
        pool.pool->submit_batch(std::move(batch));
      }
      return ended == submitted && killer.kills() == kKills;
    };
    CHECK(pool.wait(keep_busy, std::chrono::seconds(100)));
    CHECK(killer.kills() == kKills);
  }

  std::size_t crashed = 0;
  std::size_t wrong = 0;
  for (std::uint32_t i = 0; i < submitted; ++i) {
    const auto& call = calls[i];
    const bool once = call->deliveries == 1 && shared().runs[i] <= 1;
    const bool ran = call->succeeded() && call->result->value() == i && shared().runs[i] == 1;
    const bool died = !call->succeeded() && call->code() == Errc::worker_crashed;
    crashed += died ? 1 : 0;
    if (once && (ran || died)) continue;
    ++wrong;
    UNSCOPED_INFO("call " << i << " ran " << shared().runs[i] << " times, " << call->message());
  }
  CHECK(wrong == 0);
  CHECK(crashed <= static_cast<std::size_t>(kKills));
  CHECK(crashed > 0);
  CHECK(pool.totals->workers_crashed <= static_cast<std::uint64_t>(kKills));
  CHECK(pool.close());
}
