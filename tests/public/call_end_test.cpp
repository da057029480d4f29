// A call's function and arguments end with it: what they own is gone before anybody hears of the outcome.
#include <future>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "grinder_support.hpp"
#include "support.hpp"

namespace {

// One of these is captured by a function, another an argument; the two end before the outcome is heard.
class Owned {
 public:
  [[nodiscard]] std::shared_ptr<int> one() const { return owned_; }
  [[nodiscard]] bool ended() const { return owned_.use_count() == 1; }

 private:
  std::shared_ptr<int> owned_ = std::make_shared<int>(1);
};

// What a callback found.
struct Heard {
  int times = 0;
  bool after_the_end = false;
  std::error_code code;
  template <class R>
  void operator()(const lp::Result<R>& result, const Owned& owned) {
    ++times;
    after_the_end = owned.ended();
    if (!result) code = result.error().code();
  }
};

// Cannot be moved on the thread of the loop, as a std::deque cannot where there is no memory.
struct Stuck {
  Stuck() = default;
  Stuck(Stuck&& other) { *this = std::move(other); }
  Stuck& operator=(Stuck&&) {
    if (std::this_thread::get_id() == loop_thread) throw std::domain_error("stuck");
    return *this;
  }
  Stuck(const Stuck&) = delete;
  Stuck& operator=(const Stuck&) = delete;
  ~Stuck() = default;
  inline static std::thread::id loop_thread;
};
Stuck stuck() { return {}; }
std::vector<Stuck> all_stuck(const std::vector<int>& items) { return std::vector<Stuck>(items.size()); }

}  // namespace

TEST_CASE("E1: whoever waits hears of a result that cannot be moved to it", "[E1]") {
  const lp::GrinderOptions options{.batch_size_threshold = 1, .max_wait = 1h};
  on_grinder(ExecutorBackend::thread, options, [](Bench& bench) -> lp::Task<> {
    Stuck::loop_thread = std::this_thread::get_id();
    auto lease = co_await bench.manager.acquire();
    const std::string of_run = co_await message_of(lease.run(stuck));
    CHECK(of_run == "stuck");
    auto future = lease.submit(stuck);
    co_await until(bench.loop, [&] { return future.wait_for(0s) == std::future_status::ready; });
    CHECK_THROWS_WITH(future.get(), "stuck");
    bool heard = false;
    lease.run_async(stuck, [&](lp::Result<Stuck>&& result) { heard = result.has_value(); });
    co_await until(bench.loop, [&] { return heard; });
    lease.release();

    const std::string of_submit = co_await message_of(bench.grinder.submit(stuck));
    CHECK(of_submit == "stuck");
    const std::string of_pending = co_await message_of(bench.grinder.enqueue(stuck));
    CHECK(of_pending == "stuck");
    const std::string of_batch = co_await message_of(bench.grinder.batch(all_stuck).submit(1));
    CHECK(of_batch == "stuck");
  });
}

TEST_CASE("E1: what a call owns ends before its outcome is heard, whatever that is", "[E1]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    const bool threads = manager.backend() == ExecutorBackend::thread;
    {
      const Owned owned;
      Heard heard;
      lease.run_async([kept = owned.one()](const std::shared_ptr<int>& argument) { return *kept + *argument; },
                      owned.one(), [&](const lp::Result<int>& result) { heard(result, owned); });
      co_await until(loop, [&] { return heard.times == 1; });
      CHECK(heard.after_the_end);
      CHECK(heard.code == (threads ? std::error_code() : make_error_code(Errc::unregistered_function)));
    }
    {
      const Owned owned;
      Heard heard;
      lease.run_async([kept = owned.one()](const std::shared_ptr<int>&) { throw std::runtime_error("no"); },
                      owned.one(), [&](const lp::Result<void>& result) { heard(result, owned); });
      co_await until(loop, [&] { return heard.times == 1; });
      CHECK(heard.after_the_end);
      CHECK(heard.code == (threads ? Errc::remote_exception : Errc::unregistered_function));
    }
    {
      const Owned owned;
      auto future = lease.submit([kept = owned.one()](const std::shared_ptr<int>&) {}, owned.one());
      co_await until(loop, [&] { return future.wait_for(0s) == std::future_status::ready; });
      CHECK(owned.ended());
    }
    lease.run_async(pass_gate, 1, [](const auto&) {});
    co_await until_entered(loop, 1);
    {
      const Owned owned;
      Heard heard;
      std::stop_source stop;
      lease.with(stop.get_token())
          .run_async([kept = owned.one()](const std::shared_ptr<int>&) {}, owned.one(),
                     [&](const lp::Result<void>& result) { heard(result, owned); });
      stop.request_stop();
      co_await until(loop, [&] { return heard.times == 1; });
      CHECK(heard.after_the_end);
      CHECK(heard.code == Errc::cancelled);
    }
    {
      const Owned owned;
      Heard heard;
      lease.with({.queue_timeout = 1ms})
          .run_async([kept = owned.one()](const std::shared_ptr<int>&) {}, owned.one(),
                     [&](const lp::Result<void>& result) { heard(result, owned); });
      co_await until(loop, [&] { return heard.times == 1; });
      CHECK(heard.after_the_end);
      CHECK(heard.code == Errc::timed_out);
    }
    open_gate();
    lease.release();
  });
}

TEST_CASE("E6: what a call owns that outran its time-out ends when its function returns", "[E6]") {
  const Owned owned;
  Heard heard;
  on_manager(options_for(ExecutorBackend::thread, 1, 1), [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    lease.with({.timeout = 1ms})
        .run_async([kept = owned.one()](const std::shared_ptr<int>&) { return pass_gate(1); }, owned.one(),
                   [&](const lp::Result<int>& result) { heard(result, owned); });
    co_await until(loop, [&] { return heard.times == 1; });
    CHECK(heard.code == Errc::timed_out);
    CHECK_FALSE(heard.after_the_end);
    open_gate();
    co_await until(loop, [&] { return owned.ended(); });
    lease.release();
  });
  CHECK(heard.times == 1);
}

TEST_CASE("G2: what an item owns ends before its outcome is heard", "[G2]") {
  on_grinder(ExecutorBackend::thread, {.batch_size_threshold = 1}, [](Bench& bench) -> lp::Task<> {
    const Owned owned;
    Heard heard;
    bench.grinder.submit_async([kept = owned.one()](const std::shared_ptr<int>&) {}, owned.one(),
                               [&](const lp::Result<void>& result) { heard(result, owned); });
    co_await until(bench.loop, [&] { return heard.times == 1; });
    CHECK(heard.after_the_end);

    // The items keep their arguments in case that the call must be made again.
    const auto batch = bench.grinder.batch(
        [](const std::vector<std::shared_ptr<int>>& arguments) { return std::vector<int>(arguments.size()); },
        {.isolate_failures = true});
    batch.submit_async(owned.one(), [&](const lp::Result<int>& result) { heard(result, owned); });
    co_await until(bench.loop, [&] { return heard.times == 2; });
    CHECK(heard.after_the_end);
  });
}
