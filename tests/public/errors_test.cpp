// docs/errors.md: brings about every message of its table and holds each against its row.
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "errors_table.hpp"
#include "grinder_failures.hpp"
#include "io_failures.hpp"
#include "rare_failures.hpp"
#include "support.hpp"
#include "want_of.hpp"

namespace {

struct OwnError : std::exception {
  [[nodiscard]] const char* what() const noexcept override { return "my own"; }
};

// Cannot be encoded with mood 1, nor decoded with mood 2.
struct Moody {
  int mood = 0;
  template <class Archive>
  void save(Archive& archive) const {
    if (mood == 1) throw std::runtime_error("in no mood to be saved");
    archive(mood);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(mood);
    if (mood == 2) throw std::runtime_error("in no mood to be loaded");
  }
};

// Takes its time to be loaded.
struct Unhurried {
  std::array<char, 200> letters{};
  template <class Archive>
  void save(Archive& archive) const {
    for (const char letter : letters) archive(letter);
  }
  template <class Archive>
  void load(Archive& archive) {
    for (char& letter : letters) {
      archive(letter);
      ::usleep(100);
    }
  }
};

struct Opaque {
  explicit Opaque(int value) : number(value) {}
  int number;
};

int exit_with(int code) { std::exit(code); }
int throw_own_error() { throw OwnError(); }
int close_descriptors(bool go_on) {
  for (int fd = 3; fd < 256; ++fd) ::close(fd);
  return go_on ? pass_gate(1) : 1;
}
int take_reference(int& number) { return number; }
std::size_t take_pointer(const char* text) { return std::string(text).size(); }
int take_opaque(Opaque opaque) { return opaque.number; }
std::size_t take_text(const std::string& text) { return text.size(); }
std::string give_text(std::size_t size) { return std::string(size, 'x'); }
int take_mood(Moody moody) { return moody.mood; }
Unhurried give_unhurried() { return {}; }
Moody give_mood(int mood) { return {mood}; }
std::size_t take_descriptors(const std::vector<lp::Fd>& descriptors) { return descriptors.size(); }
std::vector<lp::Fd> give_descriptors(std::size_t count) {
  std::vector<lp::Fd> given;
  for (std::size_t i = 0; i < count; ++i) given.emplace_back(::dup(0));
  return given;
}
int unregistered() { return 1; }
int registered_late() { return 1; }
int registered_for_a_while() { return 1; }

LEASEPOOL_REGISTER(exit_with);
LEASEPOOL_REGISTER(throw_own_error);
LEASEPOOL_REGISTER(close_descriptors);
LEASEPOOL_REGISTER(take_text);
LEASEPOOL_REGISTER(give_text);
LEASEPOOL_REGISTER(take_mood);
LEASEPOOL_REGISTER(give_mood);
LEASEPOOL_REGISTER(give_unhurried);
LEASEPOOL_REGISTER(take_descriptors);
LEASEPOOL_REGISTER(give_descriptors);

constexpr std::string_view kOwner = "an \"owner\"\n";  // as messages show it: "an \x22owner\x22\x0a"
const lp::AcquireOptions kOwned{.owner = kOwner};

// The heading below which a code's texts stand.
std::string name_of(Errc code) {
  constexpr const char* kNames[] = {"System calls of I/O", "not_started",       "lease_unavailable",
                                    "lease_expired",       "timed_out",         "cancelled",
                                    "queue_full",          "wrong_thread",      "worker_crashed",
                                    "pool_broken",         "remote_exception",  "unregistered_function",
                                    "not_serializable",    "payload_too_large", "bad_payload",
                                    "unsupported",         "end_of_stream",     "node_lost"};
  return kNames[static_cast<std::size_t>(code)];
}

// What failed, in the order of its coming.
class Failures {
 public:
  void add(const lp::Error& error) { all_.emplace_back(name_of(lp::detail::errc_of(error.code())), error.message()); }
  void add(const lp::LeasePoolError& error) {
    const std::string what = error.what();
    const std::string suffix = ": " + error.code().message();
    REQUIRE(what.ends_with(suffix));
    all_.emplace_back(name_of(lp::detail::errc_of(error.code())), what.substr(0, what.size() - suffix.size()));
  }
  template <class T>
  void add(const lp::Result<T>& result) {
    ++answers_;
    if (!result) add(result.error());
  }
  // Takes the outcome of a verb_async.
  auto taker() {
    return [this](const auto& result) { add(result); };
  }
  template <class Call>
  void of(Call call) {
    try {
      call();
    } catch (...) {
      add_current_exception();
    }
  }
  void add_current_exception() {
    constexpr const char* kWrongCalls = "Wrong calls of I/O";
    try {
      throw;
    } catch (const lp::LeasePoolError& error) {
      add(error);
    } catch (const std::system_error& error) {
      all_.emplace_back(name_of(Errc{}), error.what());
    } catch (const std::logic_error& error) {
      all_.emplace_back(kWrongCalls, error.what());
    }
  }
  // Rows with this part cannot be brought about here.
  void excuse(std::string part) { excused_.push_back(std::move(part)); }
  [[nodiscard]] bool excuses(std::string_view text) const {
    return std::ranges::any_of(excused_, [&](const auto& part) { return text.find(part) != std::string_view::npos; });
  }
  [[nodiscard]] std::size_t answers() const noexcept { return answers_; }
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& all() const noexcept { return all_; }
  [[nodiscard]] bool has(std::string_view part) const {
    return std::ranges::any_of(all_, [&](const auto& one) { return one.second.find(part) != std::string::npos; });
  }

 private:
  std::size_t answers_ = 0;
  std::vector<std::string> excused_;
  std::vector<std::pair<std::string, std::string>> all_;
};

template <class A>
lp::Task<> collect(Failures& failures, A awaitable) {
  try {
    (void)co_await awaitable;
  } catch (...) {
    failures.add_current_exception();
  }
}

lp::ManagerOptions named(ExecutorBackend backend) {
  lp::ManagerOptions options = options_for(backend, 1, 1);
  options.name_prefix = "errors";
  options.lease_grace = 0s;
  return options;
}

// Calls a function and waits for what comes of it.
template <class... A>
lp::Task<> call(Failures& failures, lp::Loop& loop, const lp::ExecutorLease& lease, A... function_and_arguments) {
  const std::size_t before = failures.answers();
  lease.run_async(std::move(function_and_arguments)..., failures.taker());
  co_await until(loop, [&] { return failures.answers() > before; });
}

lp::Task<> fail_acquires(Failures& failures, lp::Loop& loop) {
  lp::ManagerOptions options = named(ExecutorBackend::thread);
  options.max_waiters = 1;
  auto manager = std::make_unique<lp::LeasedExecutorManager>(loop, options);
  co_await collect(failures, manager->acquire(kOwned));
  manager->start_async(failures.taker());
  co_await manager->stop();
  co_await manager->start();
  auto lease = co_await manager->acquire(kOwned);
  lp::AcquireOptions impatient = kOwned;
  impatient.wait = false;
  co_await collect(failures, manager->acquire(impatient));
  lp::AcquireOptions hasty = kOwned;
  hasty.timeout = 1ms;
  co_await collect(failures, manager->acquire(hasty));
  std::stop_source stop;
  lp::detail::acquire_unless_stopped(lp::detail::Access::core(*manager),
                                     lp::detail::make_acquire_request(*lp::detail::Access::core(*manager), kOwned, {}),
                                     failures.taker(), stop.get_token());
  stop.request_stop();
  co_await until(loop, [&] { return failures.has("the caller's stop token was asked to stop"); });
  manager->acquire_async(kOwned, failures.taker());
  co_await collect(failures, manager->acquire(kOwned));
  co_await manager->stop();
  co_await collect(failures, lease.run(square, 1));
  co_await manager->start();
  lease = co_await manager->acquire(kOwned);
  manager->acquire_async(kOwned, failures.taker());
  manager.reset();
  lp::LeasedExecutorManager(loop, options).start_async(failures.taker());
  const std::size_t before = failures.answers();
  co_await until(loop, [&] { return failures.answers() >= before + 2; });
}

lp::Task<> fail_calls(Failures& failures, lp::Loop& loop) {
  lp::ManagerOptions options = named(ExecutorBackend::thread);
  options.max_queued_calls = 1;
  options.stop_timeout = 0s;
  auto manager = std::make_unique<lp::LeasedExecutorManager>(loop, options);
  co_await manager->start();
  lp::ExecutorLease lease = co_await manager->acquire(kOwned);
  co_await call(failures, loop, lease, throw_out_of_range, std::string("7 of 5"));
  co_await call(failures, loop, lease, throw_own_type, 5);
  auto submits_to_itself = lease.run([&] {
    try {
      return lease.submit(square, 5).get();
    } catch (const lp::LeasePoolError& error) {
      failures.add(error);  // nobody else is about: the loop's thread waits for this call
      return std::uint64_t{0};
    }
  });
  co_await submits_to_itself;
  co_await collect(failures, lease.with({.timeout = 5ms}).run(wait_for_stop));
  co_await until(loop, [&] { return manager->stats().leases.at(0).calls_running == 0; });

  std::stop_source source;
  lease.run_async(pass_gate, 1, failures.taker());
  co_await collect(failures, lease.with({.queue_timeout = 1ms}).run(square, 1));
  lease.with(source.get_token()).run_async(square, 2, failures.taker());
  co_await collect(failures, lease.run(square, 3));
  source.request_stop();
  co_await until(loop, [&] { return failures.has("cancelled by the caller's stop token"); });
  co_await collect(failures, lease.with(source.get_token()).run(square, 4));
  lease.run_async(square, 5, failures.taker());
  co_await until_entered(loop, 2);
  co_await manager->stop();

  co_await manager->start();
  lease = co_await manager->acquire(kOwned);
  lease.release();
  co_await collect(failures, lease.run(square, 6));
  lp::AcquireOptions brief = kOwned;
  brief.lease_duration = 1ms;
  lease = co_await manager->acquire(brief);
  co_await until(loop, [&] { return !lease.active(); });
  co_await collect(failures, lease.run(square, 7));
  lp::ExecutorLease other = co_await manager->acquire(kOwned);
  lease = std::move(other);
  failures.of([&] { (void)other.run(square, 8); });  // NOLINT(bugprone-use-after-move)
  lease.run_async(pass_gate, 9, failures.taker());
  co_await until_entered(loop, 3);
  manager.reset();
  co_await until(loop, [&] { return failures.has("running when the manager was destroyed"); });
  open_gate();
}

// Through shared memory the result could be here before.
lp::Task<> fail_through_a_socket(Failures& failures, lp::Loop& loop) {
  lp::ManagerOptions options = named(ExecutorBackend::process);
  options.shared_memory = false;
  co_await with_manager(loop, options, [&](Manager& manager) -> lp::Task<> {
    const lp::ExecutorLease lease = co_await manager.acquire(kOwned);
    co_await call(failures, loop, lease, close_descriptors, false);
  });
}

lp::Task<> fail_in_processes(Failures& failures, lp::Loop& loop) {
  LEASEPOOL_REGISTER(registered_late);
  // What a plug-in does that comes and goes.
  (void)lp::detail::Registration(
      lp::detail::describe_function<registered_for_a_while>(std::source_location::current()));
  lp::ManagerOptions options = named(ExecutorBackend::process);
  options.max_payload = 1500;
  options.max_decoded_bytes = 1000;
  options.decode_timeout = 1ms;
  co_await with_manager(loop, options, [&](Manager& manager) -> lp::Task<> {
    const lp::ExecutorLease lease = co_await manager.acquire(kOwned);
    co_await call(failures, loop, lease, die_by_signal, SIGKILL);
    co_await call(failures, loop, lease, exit_with, 3);
    co_await call(failures, loop, lease, close_descriptors, true);
    co_await call(failures, loop, lease, throw_own_error);
    co_await call(failures, loop, lease, throw_own_type, 5);
    co_await call(failures, loop, lease, unregistered);
    co_await call(failures, loop, lease, registered_for_a_while);
    co_await call(failures, loop, lease, [] { return 1; });
    co_await call(failures, loop, lease, registered_late);
    int number = 1;
    co_await call(failures, loop, lease, take_reference, std::ref(number));
    co_await call(failures, loop, lease, take_pointer, "text");
    co_await call(failures, loop, lease, take_opaque, Opaque(1));
    co_await call(failures, loop, lease, take_text, std::string(2000, 'x'));
    co_await call(failures, loop, lease, give_text, 2000);
    co_await call(failures, loop, lease, give_text, 1200);
    co_await call(failures, loop, lease, give_unhurried);
    co_await call(failures, loop, lease, take_descriptors, give_descriptors(254));
    co_await call(failures, loop, lease, give_descriptors, 254);
    co_await call(failures, loop, lease, take_mood, Moody{1});
    co_await call(failures, loop, lease, take_mood, Moody{2});
    co_await call(failures, loop, lease, give_mood, 1);
    co_await call(failures, loop, lease, give_mood, 2);
    // The worker's death frees its descriptors, and nothing gets a new one.
    const WantOfDescriptors want(0);
    co_await call(failures, loop, lease, die_by_signal, SIGUSR1);
    co_await call(failures, loop, lease, square, 1);
  });
}

lp::Task<> fail_for_good(Failures& failures, lp::Loop& loop) {
  co_await with_manager(loop, named(ExecutorBackend::process), [&](Manager& manager) -> lp::Task<> {
    const lp::ExecutorLease lease = co_await manager.acquire(kOwned);
    while (!failures.has("workers in a row died in calls")) {
      co_await call(failures, loop, lease, die_by_signal, SIGKILL);
    }
  });
}

lp::Task<> fail_to_start(Failures& failures, lp::Loop& loop) {
  {
    lp::LeasedExecutorManager manager(loop, named(ExecutorBackend::thread));
    {
      const WantOfThreads want;
      co_await collect(failures, manager.start());
    }
    co_await manager.start();
    lp::AcquireOptions brief = kOwned;
    brief.lease_duration = 1ms;
    const auto held = co_await manager.acquire(brief);
    const WantOfThreads want;  // for the replacement of the pool that is revoked
    co_await collect(failures, manager.acquire(kOwned));
  }
  {  // The worker may be quick enough, if this thread is slow.
    lp::ManagerOptions options = named(ExecutorBackend::process);
    options.worker_start_timeout = 1ns;
    lp::LeasedExecutorManager manager(loop, options);
    while (!failures.has("worker_start_timeout")) {
      co_await collect(failures, manager.start());
      co_await manager.stop();
    }
  }
  lp::LeasedExecutorManager manager(loop, named(ExecutorBackend::process));
  for (int descriptors = 0; !failures.has("a worker cannot be started: leasepool: "); ++descriptors) {
    const WantOfDescriptors want(descriptors);
    co_await collect(failures, manager.start());
    co_await manager.stop();
  }
}

lp::Task<> fail_io(Failures& failures, lp::Loop& loop) {
  const auto take = [&failures](auto awaitable) { return collect(failures, std::move(awaitable)); };
  co_await fail_streams(failures, loop, take);
  co_await fail_connections(failures, loop, take);
  co_await fail_files(failures, loop, take);
  co_await fail_signals(failures, loop, take);
}

void fail_off_the_thread(Failures& failures) {
  auto loop = std::make_unique<lp::Loop>();
  lp::LeasedExecutorManager manager(*loop, named(ExecutorBackend::thread));
  const auto lease = loop->block_on([](lp::LeasedExecutorManager& to_start) -> lp::Task<lp::ExecutorLease> {
    co_await to_start.start();
    co_return co_await to_start.acquire(kOwned);
  }(manager));
  std::thread([&] {
    failures.of([&] { (void)manager.acquire(kOwned); });
    failures.of([&] { (void)manager.stats(); });
    failures.of([&] { (void)lease.run(square, 1); });
    failures.of([&] { loop->run(); });
  }).join();
  loop.reset();
  failures.of([&] { (void)lease.run(square, 1); });
  failures.of([&] { (void)manager.acquire(kOwned); });
  std::thread([&] { failures.of([&] { (void)lease.submit(square, 1).get(); }); }).join();
}

}  // namespace

TEST_CASE("every message is in the table of docs/errors.md, and every row there is a message") {
  Failures failures;
  const auto on_a_loop = [&](auto body) {
    close_gate();
    lp::Loop loop;
    loop.block_on(body(failures, loop));
    open_gate();
  };
  on_a_loop(fail_acquires);
  on_a_loop(fail_calls);
  on_a_loop(fail_in_processes);
  on_a_loop(fail_through_a_socket);
  on_a_loop(fail_for_good);
  on_a_loop(fail_to_start);
  on_a_loop([](Failures& all, lp::Loop& loop) { return fail_items(all, loop, kOwner); });
  on_a_loop(
      [](Failures& all, lp::Loop& loop) { return fail_rarely(all, loop, named(ExecutorBackend::process), kOwned); });
  fail_items_without_a_loop(failures, kOwner);
  on_a_loop([](Failures& all, lp::Loop& loop) { return fail_io(all, loop); });
  fail_io_without_a_loop(failures);
  fail_without_io_uring(failures);
  fail_off_the_thread(failures);

  auto rows = read_errors_table(LEASEPOOL_DOCS_DIR "/errors.md", "errors", R"("an \x22owner\x22\x0a")");
  REQUIRE(rows.size() > 50);
  for (const auto& [heading, whole_message] : failures.all()) {
    // The stack behind it, where it is known, is no part of the table.
    const std::string message = whole_message.substr(0, whole_message.find("; it was in "));
    INFO(heading << ": " << message);
    ErrorRow* const row = find_row(rows, heading, message);
    REQUIRE(row != nullptr);
    row->seen = true;
  }
  for (const ErrorRow& row : rows) {
    INFO(row.code << ": " << row.text);
    CHECK((row.seen || failures.excuses(row.text) || needs_own_process(row) || needs_node(row)) != row.marked);
  }
}

TEST_CASE("a row of the table matches its messages only") {
  const Pattern pattern("{manager}: {number} of {limit} are gone");
  CHECK(pattern.matches("m: 3 of 4 are gone"));
  CHECK_FALSE(pattern.matches("m:  of 4 are gone"));
  CHECK_FALSE(pattern.matches("m: 3 of 4 are gone!"));
  CHECK_FALSE(pattern.matches("m: 3 of  are gone"));
  CHECK_FALSE(pattern.matches(": 3 of 4 are gone"));
  CHECK(Pattern("plain").matches("plain"));
  CHECK_FALSE(Pattern("plain").matches("plainly"));
  CHECK_THROWS_AS(Pattern("an {open one"), std::runtime_error);
}
