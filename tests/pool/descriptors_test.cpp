// Descriptors as arguments and results of calls, on both backends: they arrive, wherever they are nested, and however a
// call ends, each is closed once, here and in the worker.
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "shared/status_page.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"
#include "support/skip.hpp"
#include "support/socket_pair.hpp"
#include "wire/message.hpp"

namespace fd_cases {

using leasepool::Fd;

struct Pipe {
  Fd read_end;
  Fd write_end;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(read_end, write_end);
  }
};

// Descriptors wherever they can be.
struct Nest {
  std::vector<Fd> list;
  std::optional<Fd> perhaps;
  std::tuple<int, Fd> with_number;
  std::map<std::string, Pipe> pipes;
  std::unique_ptr<Fd> boxed;
  std::variant<int, Fd> either;
  Fd empty;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(list, perhaps, with_number, pipes, boxed, either, empty);
  }
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  return {Fd(ends[0]), Fd(ends[1])};
}
void write_to(Fd end, const std::string& text) {
  if (::write(end.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) throw std::runtime_error("?");
}
std::string read_from(const Fd& end) {
  std::string text(100, '\0');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(end.get(), text.data(), text.size()))));
  return text;
}
bool closes_on_exec(Fd&& fd) { return (::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0; }
Nest pass_on(Nest nest) { return nest; }
bool is_empty(const Fd& fd) { return !fd; }
std::size_t how_many(const std::vector<Fd>& fds) { return fds.size(); }
std::vector<Fd> give(std::size_t count) {
  std::vector<Fd> given;
  for (std::size_t i = 0; i < count; ++i) given.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return given;
}
std::size_t open_here() { return leasepool::test::open_descriptors().size(); }
int throw_with(const Fd&) { throw std::runtime_error("on purpose"); }
int crash_with(const Fd&) { ::_exit(3); }
int hold_with(const Fd&) { return pool_functions::hold(); }
// Cannot be decoded by a worker.
struct Refusing {
  Fd fd;
  template <class Archive>
  void save(Archive& archive) const {
    archive(fd);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(fd);
    if (pool_functions::in_worker()) throw std::runtime_error("does not want to");
  }
};
int refuse_with(const Refusing&) { return 0; }
int not_registered(const Fd&) { return 0; }
// The kernel passes no io_uring to another process.
Fd make_ring() {
  io_uring_params parameters{};
  return Fd(static_cast<int>(::syscall(SYS_io_uring_setup, 1, &parameters)));
}

}  // namespace fd_cases

LEASEPOOL_REGISTER(fd_cases::make_pipe);
LEASEPOOL_REGISTER(fd_cases::write_to);
LEASEPOOL_REGISTER(fd_cases::read_from);
LEASEPOOL_REGISTER(fd_cases::closes_on_exec);
LEASEPOOL_REGISTER(fd_cases::pass_on);
LEASEPOOL_REGISTER(fd_cases::is_empty);
LEASEPOOL_REGISTER(fd_cases::how_many);
LEASEPOOL_REGISTER(fd_cases::give);
LEASEPOOL_REGISTER(fd_cases::open_here);
LEASEPOOL_REGISTER(fd_cases::throw_with);
LEASEPOOL_REGISTER(fd_cases::crash_with);
LEASEPOOL_REGISTER(fd_cases::hold_with);
LEASEPOOL_REGISTER(fd_cases::refuse_with);
LEASEPOOL_REGISTER(fd_cases::make_ring);

using namespace leasepool;
using namespace fd_cases;
using leasepool::test::eventually;
using leasepool::test::open_descriptors;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace {

// No more descriptors than are open now, and so many.
class RoomFor {
 public:
  explicit RoomFor(std::size_t count) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &old_) == 0);
    std::vector<Fd> free_ones = give(count + 1);
    const rlimit few{.rlim_cur = static_cast<rlim_t>(free_ones.back().get()), .rlim_max = old_.rlim_max};
    free_ones.clear();
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  }
  RoomFor(const RoomFor&) = delete;
  RoomFor& operator=(const RoomFor&) = delete;
  ~RoomFor() { ::setrlimit(RLIMIT_NOFILE, &old_); }

 private:
  rlimit old_{};
};

bool end_of_file(const Fd& read_end) {
  pollfd waits{.fd = read_end.get(), .events = POLLIN, .revents = 0};
  return ::poll(&waits, 1, 0) == 1 && (waits.revents & POLLHUP) != 0;
}

// False where this kernel passes an io_uring.
bool is_refused(const Fd& ring) {
  test::SocketPair sockets;
  detail::Message message;
  const std::byte byte{};
  Fd ring_copy = ring.duplicate();
  return ::sendmsg(sockets.ours.get(), message.to_send({&byte, 1}, {&ring_copy, 1}), 0) != 1;
}

}  // namespace

TEST_CASE("a descriptor goes to a function and comes back as its result", "[fd]") {
  for (const ExecutorBackend backend : {ExecutorBackend::thread, ExecutorBackend::process}) {
    Loop loop;
    TestPool pool(loop, backend, 1);
    REQUIRE(pool.start().has_value());
    const std::size_t there = pool.result_of(open_here).value();
    const auto before = open_descriptors();
    {
      Pipe pipe = pool.result_of(make_pipe).value();
      CHECK(pool.result_of(write_to, std::move(pipe.write_end), "through the pipe").has_value());
      CHECK_FALSE(pipe.write_end);  // NOLINT(bugprone-use-after-move)
      CHECK(pool.result_of(read_from, pipe.read_end.duplicate()).value() == "through the pipe");
      CHECK(pool.result_of(read_from, std::move(pipe.read_end)).value().empty());  // every write end is closed
      CHECK(pool.result_of(closes_on_exec, make_pipe().read_end).value());
      CHECK(closes_on_exec(pool.result_of(make_pipe).value().read_end));
      CHECK(pool.result_of(is_empty, Fd()).value());
    }
    CHECK(eventually([&] { return open_descriptors() == before; }));
    CHECK(pool.result_of(open_here).value() == there);
  }
}

TEST_CASE("descriptors travel wherever they are nested", "[fd]") {
  for (const ExecutorBackend backend : {ExecutorBackend::thread, ExecutorBackend::process}) {
    Loop loop;
    TestPool pool(loop, backend, 1);
    REQUIRE(pool.start().has_value());
    const std::size_t there = pool.result_of(open_here).value();
    const auto before = open_descriptors();
    {
      std::vector<Pipe> pipes;
      for (int i = 0; i < 6; ++i) pipes.push_back(make_pipe());
      Nest nest;
      nest.list.push_back(std::move(pipes[0].write_end));
      nest.list.emplace_back();
      nest.perhaps = std::move(pipes[1].write_end);
      nest.with_number = {7, std::move(pipes[2].write_end)};
      nest.pipes["key"] = make_pipe();
      nest.boxed = std::make_unique<Fd>(std::move(pipes[3].write_end));
      nest.either = std::move(pipes[4].write_end);
      Nest back = pool.result_of(pass_on, std::move(nest)).value();
      REQUIRE(back.list.size() == 2);
      CHECK_FALSE(back.list[1]);
      CHECK(std::get<int>(back.with_number) == 7);
      write_to(std::move(back.list[0]), "0");
      write_to(std::move(*back.perhaps), "1");
      write_to(std::move(std::get<Fd>(back.with_number)), "2");
      write_to(std::move(*back.boxed), "3");
      write_to(std::move(std::get<Fd>(back.either)), "4");
      for (std::size_t i = 0; i < 5; ++i) CHECK(read_from(pipes[i].read_end) == std::to_string(i));
      Pipe& inner = back.pipes.at("key");
      write_to(std::move(inner.write_end), "inner");
      CHECK(read_from(inner.read_end) == "inner");
      CHECK_FALSE(back.empty);
    }
    CHECK(eventually([&] { return open_descriptors() == before; }));
    CHECK(pool.result_of(open_here).value() == there);
  }
}

TEST_CASE("the caller's copy of an argument is closed before the result is delivered", "[fd]") {
  Pipe pipe = make_pipe();
  bool ended = false;
  const auto check_end = [&](const Result<void>&) { ended = end_of_file(pipe.read_end); };
  const auto job = detail::make_job<decltype(check_end)>(write_to, std::move(pipe.write_end), "");
  job->set_receiver(check_end);
  job->accept({}, {}, {});
  CHECK_FALSE(end_of_file(pipe.read_end));
  job->deliver();
  CHECK(ended);
}

TEST_CASE("as many descriptors as the kernel passes go at once, and one more is an error", "[fd]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const std::size_t there = pool.result_of(open_here).value();
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  const auto before = open_descriptors();
  CHECK(pool.result_of(how_many, give(253)).value() == 253);
  CHECK(pool.result_of(give, 253).value().size() == 253);
  const auto too_many = pool.result_of(how_many, give(254));
  REQUIRE_FALSE(too_many.has_value());
  CHECK(too_many.error().code() == Errc::payload_too_large);
  CHECK_THAT(too_many.error().message(),
             ContainsSubstring("254 descriptors") && ContainsSubstring("the arguments of fd_cases::how_many"));
  const auto too_many_back = pool.result_of(give, 300);
  REQUIRE_FALSE(too_many_back.has_value());
  CHECK(too_many_back.error().code() == Errc::payload_too_large);
  CHECK_THAT(too_many_back.error().message(),
             ContainsSubstring("300 descriptors") && ContainsSubstring("the result of fd_cases::give"));
  CHECK(eventually([&] { return open_descriptors() == before; }));
  CHECK(pool.result_of(open_here).value() == there);
  CHECK(pool.result_of(pool_functions::process_id).value() == worker);
}

TEST_CASE("arguments whose descriptors find no room in the worker fail the call alone", "[fd]") {
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(1);
  options.limits.open_files = 32;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  const std::size_t there = pool.result_of(open_here).value();
  const auto before = open_descriptors();
  for (int i = 0; i < 3; ++i) {
    const auto lost = pool.result_of(how_many, give(40));
    REQUIRE_FALSE(lost.has_value());
    CHECK(lost.error().code() == Errc::bad_payload);
    CHECK_THAT(lost.error().message(),
               ContainsSubstring("decoding its arguments") && ContainsSubstring("WorkerLimits::open_files"));
    CHECK(pool.result_of(how_many, give(10)).value() == 10);
  }
  CHECK(eventually([&] { return open_descriptors() == before; }));
  CHECK(pool.result_of(open_here).value() == there);
  CHECK(pool.result_of(pool_functions::process_id).value() == worker);
}

TEST_CASE("descriptors for which this process has no room fail the call alone", "[fd]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  const std::size_t there = pool.result_of(open_here).value();
  const auto before = open_descriptors();
  {
    std::vector<Fd> arguments = give(10);
    const RoomFor few(4);
    const auto lost = pool.result_of(give, 10);
    REQUIRE_FALSE(lost.has_value());
    CHECK(lost.error().code() == Errc::bad_payload);
    CHECK_THAT(lost.error().message(), ContainsSubstring("6 of its descriptors") &&
                                           ContainsSubstring("decoding its result") && ContainsSubstring("ulimit -n"));
    const auto not_copied = pool.result_of(how_many, std::move(arguments));
    REQUIRE_FALSE(not_copied.has_value());
    CHECK(not_copied.error().code() == Errc::bad_payload);
    CHECK_THAT(not_copied.error().message(),
               ContainsSubstring("encoding its arguments") && ContainsSubstring("cannot be duplicated"));
  }
  CHECK(pool.result_of(give, 10).value().size() == 10);
  CHECK(eventually([&] { return open_descriptors() == before; }));
  CHECK(pool.result_of(open_here).value() == there);
  CHECK(pool.result_of(pool_functions::process_id).value() == worker);
}

TEST_CASE("a descriptor that the kernel does not pass fails the call alone", "[fd]") {
  Fd ring = make_ring();
  if (!is_refused(ring)) return test::skip("this kernel passes an io_uring");
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  const std::size_t there = pool.result_of(open_here).value();
  const auto before = open_descriptors();
  for (int i = 0; i < 2; ++i) {
    const auto there_refused = pool.result_of(is_empty, ring.duplicate());
    REQUIRE_FALSE(there_refused.has_value());
    CHECK(there_refused.error().code() == Errc::bad_payload);
    CHECK_THAT(there_refused.error().message(), ContainsSubstring("sending its arguments"));
    const auto back_refused = pool.result_of(make_ring);
    REQUIRE_FALSE(back_refused.has_value());
    CHECK(back_refused.error().code() == Errc::bad_payload);
    CHECK_THAT(back_refused.error().message(), ContainsSubstring("sending its result"));
  }
  CHECK(eventually([&] { return open_descriptors() == before; }));
  CHECK(pool.result_of(open_here).value() == there);
  CHECK(pool.result_of(pool_functions::process_id).value() == worker);
}

TEST_CASE("any number of calls whose descriptors the kernel does not pass fail one by one, and no other", "[fd][W2]") {
  const Fd ring = make_ring();
  if (!is_refused(ring)) return test::skip("this kernel passes an io_uring");
  const bool sent_ahead = GENERATE(false, true);
  CAPTURE(sent_ahead);
  constexpr std::size_t kCalls = 3 * detail::WorkerStatus::kClaims;
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  for (int i = 0; i < 100; ++i) (void)pool.result_of(pool_functions::add, 1, 2);  // known to be quick
  const auto before = open_descriptors();
  std::vector<std::shared_ptr<test::Call<bool>>> refused;
  std::vector<std::shared_ptr<test::Call<std::int64_t>>> sent;
  for (std::size_t i = 0; i < kCalls; ++i) {
    refused.push_back(pool.call(is_empty, ring.duplicate()));
    if (sent_ahead) sent.push_back(pool.call(pool_functions::add, 1, 2));
    if (!sent_ahead) REQUIRE(pool.wait([&] { return refused.back()->ended(); }));
  }
  for (const auto& call : refused) {
    REQUIRE(pool.wait([&] { return call->ended(); }));
    CHECK(call->code() == Errc::bad_payload);
    CHECK(call->deliveries == 1);
  }
  for (const auto& call : sent) {
    REQUIRE(pool.wait([&] { return call->ended(); }));
    CHECK(call->succeeded());
  }
  CHECK(open_descriptors() == before);
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  CHECK(pool.totals->workers_crashed == 0);
}

namespace {

// A call that the kernel does not pass, for a worker that is stopped: it takes nothing up any more.
struct NotPassed {
  explicit NotPassed(const Fd& ring) {
    REQUIRE(pool.start().has_value());
    worker = pool.result_of(pool_functions::process_id).value();
    REQUIRE(pool.stop_process(worker));
    call = pool.call(is_empty, ring.duplicate());
    test::turn(loop);
    test::turn(loop);
    REQUIRE_FALSE(call->ended());
  }
  Loop loop;
  TestPool pool{loop, ExecutorBackend::process, 1};
  pid_t worker = 0;
  std::shared_ptr<test::Call<bool>> call;
};

}  // namespace

TEST_CASE("a worker that ends before it has passed a call that could not be sent costs that call nothing", "[fd][W2]") {
  const Fd ring = make_ring();
  if (!is_refused(ring)) return test::skip("this kernel passes an io_uring");
  NotPassed sent(ring);
  ::kill(sent.worker, SIGKILL);
  REQUIRE(sent.pool.wait([&] { return sent.call->ended(); }));
  CHECK(sent.call->code() == Errc::bad_payload);  // from the worker after it
  CHECK(sent.pool.totals->workers_crashed == 1);
}

TEST_CASE("a worker that never passes a call that could not be sent is killed at the call's deadline", "[fd][E6]") {
  const Fd ring = make_ring();
  if (!is_refused(ring)) return test::skip("this kernel passes an io_uring");
  NotPassed sent(ring);
  const auto next = sent.pool.call(pool_functions::add, 1, 2);
  CHECK(sent.pool.pool->interrupt(*sent.call->job, {Errc::timed_out, "took too long"}));
  REQUIRE(sent.pool.wait([&] { return next->ended(); }));
  CHECK(sent.call->code() == Errc::timed_out);
  CHECK(next->succeeded());
}

TEST_CASE("however a call ends, its descriptors are closed", "[fd]") {
  Pipe pipe = make_pipe();
  const auto before = open_descriptors();
  for (const ExecutorBackend backend : {ExecutorBackend::thread, ExecutorBackend::process}) {
    const bool processes = backend == ExecutorBackend::process;
    CAPTURE(processes);
    pool_functions::reset_shared();
    const auto writer = [&] { return pipe.write_end.duplicate(); };
    {
      Loop loop;
      TestPool pool(loop, backend, 1);
      REQUIRE(pool.start().has_value());
      const std::size_t there = pool.result_of(open_here).value();
      const auto here = open_descriptors();
      (void)pool.result_of(throw_with, writer());
      (void)pool.result_of(not_registered, writer());
      (void)pool.result_of(refuse_with, Refusing{writer()});
      CHECK(eventually([&] { return open_descriptors() == here; }));
      CHECK(pool.result_of(open_here).value() == there);
      if (processes) (void)pool.result_of(crash_with, writer());
      shared().gate = processes ? 0 : 1;
      const auto running = pool.call(hold_with, writer());
      const auto waiting = pool.call(hold_with, writer());
      if (processes) {
        REQUIRE(pool.wait([] { return shared().holding > 0; }));
        CHECK(pool.pool->withdraw(*waiting->job, {Errc::cancelled, "taken back"}));
        CHECK(pool.pool->interrupt(*running->job, {Errc::timed_out, "took too long"}));
        // Interrupted before it was sent, and still there when the pool goes.
        CHECK(pool.result_of(open_here).value() == there);
        const auto sent = pool.call(hold_with, writer());
        CHECK(pool.pool->interrupt(*sent->job, {Errc::timed_out, "took too long"}));
        (void)pool.call(hold_with, writer());
        (void)pool.call(hold_with, writer());
      }
    }
    CHECK(eventually([&] { return open_descriptors() == before; }));
  }
  pipe.write_end.reset();
  CHECK(test::eventually([&] { return end_of_file(pipe.read_end); }));  // no worker has one either
  pool_functions::reset_shared();
}

TEST_CASE("a call that goes to another worker still has its descriptors", "[fd][W2]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  Pipe pipe = make_pipe();
  for (int i = 0; i < 3; ++i) {
    const pid_t worker = pool.result_of(pool_functions::process_id).value();
    REQUIRE(pool.stop_process(worker));  // it takes nothing up any more
    const auto call = pool.call(write_to, pipe.write_end.duplicate(), "again");
    test::turn(loop);
    test::turn(loop);  // sent
    CHECK_FALSE(call->ended());
    ::kill(worker, SIGKILL);
    REQUIRE(pool.wait([&] { return call->ended(); }));
    CHECK(call->succeeded());
    CHECK(read_from(pipe.read_end) == "again");
  }
  CHECK(pool.totals->workers_crashed == 3);
}
