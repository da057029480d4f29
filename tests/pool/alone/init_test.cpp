// init(): once, early, and with errors that say what to do.
#include "leasepool/init.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <mutex>
#include <source_location>
#include <string>
#include <system_error>
#include <thread>

#include "alone.hpp"
#include "base/unique_fd.hpp"
#include "leasepool/function.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "support/process_state.hpp"

using namespace leasepool;
using leasepool::test::TestPool;

namespace init_cases {

int loaded_before = 0;
int loaded_value() { return loaded_before; }

int init_again() {
  init();
  return 1;
}
std::string start_workers_in_a_worker() {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  const auto started = pool.start();
  return started ? "started" : started.error().message();
}

// The signals of 1 to 31 that are not at their default, and those that are blocked.
std::vector<int> changed_signals() {
  std::vector<int> changed;
  sigset_t blocked;
  ::sigprocmask(SIG_SETMASK, nullptr, &blocked);
  for (int signal = 1; signal < 32; ++signal) {
    struct sigaction action{};
    ::sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_DFL) changed.push_back(signal);
    if (sigismember(&blocked, signal) == 1) changed.push_back(-signal);
  }
  return changed;
}

int twin(int value) { return value; }
int twin(double value) { return static_cast<int>(value); }

}  // namespace init_cases

extern "C" int init_folded(int value) { return value; }
extern "C" int init_alias(int value) __attribute__((alias("init_folded")));

LEASEPOOL_REGISTER(init_cases::loaded_value);
LEASEPOOL_REGISTER(init_cases::init_again);
LEASEPOOL_REGISTER(init_cases::start_workers_in_a_worker);
LEASEPOOL_REGISTER(init_cases::changed_signals);

namespace {

// A pool of one worker on a loop of its own gives a result.
void check_works() {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  const auto started = pool.start();
  CAPTURE(started ? "" : started.error().message());
  REQUIRE(started.has_value());
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
}

std::string message_of_init() {
  try {
    init();
  } catch (const LeasePoolError& error) {
    return error.what();
  }
  return "nothing thrown";
}

std::string place(const std::source_location& where) {
  return where.file_name() + (":" + std::to_string(where.line()));
}

}  // namespace

ALONE_TEST_CASE("init twice starts the fork servers once", "[init]") {
  CHECK(alone::family().empty());
  init();
  const auto servers = alone::both_fork_servers();
  init();
  CHECK(alone::fork_servers() == servers);
  check_works();
  CHECK(alone::fork_servers() == servers);
}

ALONE_TEST_CASE("without init the first process pool starts the fork servers", "[init]") {
  check_works();
  CHECK(alone::both_fork_servers().size() == 2);
}

ALONE_TEST_CASE("thread pools need no fork server", "[init]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 2);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of([] { return 1; }).value() == 1);
  CHECK(alone::family().empty());
}

ALONE_TEST_CASE("a program with several threads is told to call init first", "[init][L4]") {
  {
    std::mutex held;
    std::unique_lock lock(held);
    std::jthread other([&] { const std::lock_guard wait(held); });
    ::pthread_setname_np(other.native_handle(), "early bird");
    CHECK_THAT(message_of_init(), ContainsSubstring("call leasepool::init() in the first line of main()") &&
                                      ContainsSubstring("has 2 now") && ContainsSubstring("early bird ("));
    Loop loop;
    CHECK_THAT(alone::message_of_unsupported_start(loop),
               ContainsSubstring("call leasepool::init() in the first line of main()"));
    CHECK(alone::family().empty());
    lock.unlock();
  }
  check_works();
}

ALONE_TEST_CASE("two functions with one id stop init and are both named", "[init][names]") {
  // What the macro does, at a time when it spoils nothing for the other tests.
  const auto here = std::source_location::current();
  const auto elsewhere = std::source_location::current();
  const auto first = detail::describe_function<static_cast<int (*)(int)>(init_cases::twin)>(here);
  const auto second = detail::describe_function<static_cast<int (*)(double)>(init_cases::twin)>(elsewhere);
  init_cases::loaded_before = init_cases::twin(1) + init_cases::twin(2.0);
  const detail::Registration once(first);
  const detail::Registration again(first);  // the same one: harmless
  const detail::Registration other(second);
  const std::string message = message_of_init();
  CHECK_THAT(message, ContainsSubstring("same id") && ContainsSubstring("rename one") &&
                          ContainsSubstring("init_cases::twin (" + place(here) + ")") &&
                          ContainsSubstring("init_cases::twin (" + place(elsewhere) + ")"));
  alone::check_row("unregistered_function", message);
  CHECK(message_of_init() == message);
  CHECK(alone::family().empty());
}

ALONE_TEST_CASE("two functions with one address stop init and are both named", "[init][names]") {
  const auto here = std::source_location::current();
  const detail::Registration one(detail::describe_function<init_folded>(here));
  const detail::Registration other(detail::describe_function<init_alias>(here));
  const std::string message = message_of_init();
  CHECK_THAT(message, ContainsSubstring("init_folded (" + place(here) + ")") &&
                          ContainsSubstring("init_alias (" + place(here) + ")") && ContainsSubstring("--icf=safe"));
  alone::check_row("unregistered_function", message);
  CHECK(alone::family().empty());
}

ALONE_TEST_CASE("one function that has two addresses is found by both", "[init][names]") {
  // As if the two were one function of a header, in a program and in a library that does not share it.
  const auto here = std::source_location::current();
  const auto copy = detail::describe_function<static_cast<int (*)(double)>(init_cases::twin)>(here);
  const detail::Registration one(detail::describe_function<static_cast<int (*)(int)>(init_cases::twin)>(here));
  const detail::Registration other(copy);
  check_works();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(static_cast<int (*)(int)>(init_cases::twin), 7).value() == 7);
  CHECK(pool.result_of(static_cast<int (*)(double)>(init_cases::twin), 8.5).value() == 8);
}

ALONE_TEST_CASE("what the program loaded before init is there in every worker", "[init]") {
  init_cases::loaded_before = 7;
  init();
  init_cases::loaded_before = 8;  // after it, the processes are apart
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(init_cases::loaded_value).value() == 7);
}

ALONE_TEST_CASE("init does nothing in a worker and a worker has no workers of its own", "[init]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(init_cases::init_again).value() == 1);
  CHECK_THAT(pool.result_of(init_cases::start_workers_in_a_worker).value(),
             ContainsSubstring("a worker process has no worker processes of its own"));
}

ALONE_TEST_CASE("what is buffered when init runs is written once", "[init]") {
  std::FILE* const file = std::tmpfile();
  std::fputs("once", file);
  init();
  {
    Loop loop;
    TestPool pool(loop, ExecutorBackend::process, 2);
    REQUIRE(pool.start().has_value());
    CHECK(pool.result_of(pool_functions::end_running, static_cast<int>(pool_functions::End::exit_0)).error().code() ==
          Errc::worker_crashed);
    CHECK(pool.close());
  }
  std::fflush(file);
  char content[64] = "";
  CHECK(::pread(::fileno(file), content, sizeof content - 1, 0) == 4);
  CHECK(std::string(content) == "once");
  std::fclose(file);
}

ALONE_TEST_CASE("the program's signal handlers and masks do not reach the workers", "[init][worker]") {
  for (const int signal : {SIGUSR1, SIGTERM, SIGSEGV, SIGCHLD}) std::signal(signal, [](int) {});
  for (const int signal : {SIGINT, SIGHUP, SIGALRM}) std::signal(signal, SIG_IGN);
  sigset_t blocked;
  sigfillset(&blocked);
  ::sigprocmask(SIG_SETMASK, &blocked, nullptr);
  init();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(init_cases::changed_signals).value() == pool_functions::kHandledSignals);
}

ALONE_TEST_CASE("a program may have closed its standard streams before init", "[init][worker]") {
  using leasepool::detail::UniqueFd;
  // Catch2 writes to them in the end: away for a while only.
  const UniqueFd kept[] = {UniqueFd(::fcntl(0, F_DUPFD_CLOEXEC, 10)), UniqueFd(::fcntl(1, F_DUPFD_CLOEXEC, 10)),
                           UniqueFd(::fcntl(2, F_DUPFD_CLOEXEC, 10))};
  for (int fd = 0; fd < 3; ++fd) ::close(fd);
  init();
  std::string failure;
  {
    Loop loop;
    TestPool pool(loop, ExecutorBackend::process, 2);
    if (const auto started = pool.start(); !started) {
      failure = started.error().message();
    } else {
      for (int i = 0; i < 3 && failure.empty(); ++i) {
        const auto sum = pool.result_of(pool_functions::add, 1, i);
        if (!sum || *sum != 1 + i) failure = sum ? "a wrong sum" : sum.error().message();
        (void)pool.result_of(pool_functions::exit_at_once, 1);
      }
    }
  }
  for (int fd = 0; fd < 3; ++fd) ::dup2(kept[fd].get(), fd);
  CHECK(failure == "");
}

ALONE_TEST_CASE("init that gets no process leaves none and can be tried again", "[init][L4]") {
  if (!alone::become_somebody()) return;
  const auto threads = static_cast<rlim_t>(test::thread_count());
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NPROC, &limit) == 0);
  for (const rlim_t more : {0U, 1U}) {  // none of the two servers, or the first alone
    const rlimit few{.rlim_cur = threads + more, .rlim_max = limit.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NPROC, &few) == 0);
    CHECK_THROWS_AS(init(), std::system_error);
    CHECK(alone::family().empty());
    CHECK(test::child_processes().empty());  // no zombie
  }
  REQUIRE(::setrlimit(RLIMIT_NPROC, &limit) == 0);
  init();
  check_works();
}
