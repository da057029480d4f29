// Workers that lie: functions that write to their own process's channel what they should not. The worker is killed, the
// call fails and says why, and the parent and its other workers are unharmed.
#include <dirent.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/manager.hpp"
#include "leasepool/shared_buffer.hpp"
#include "shared/exception_codec.hpp"
#include "shared/status_page.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"
#include "support/with_manager.hpp"
#include "wire/frame.hpp"
#include "wire/message.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::detail::begin_frame;
using leasepool::detail::Bytes;
using leasepool::detail::finish_frame;
using leasepool::detail::FrameType;
using leasepool::test::eventually;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace lies {

enum class Lie : int {
  wrong_magic,
  unknown_type,
  too_long,
  longest_length,
  wrong_call,
  call_zero,
  second_hello,
  call_to_parent,
  passing,
  endless_outcomes,
  endless_noise,
  endless_frame,
  half_a_header,
  half_a_payload,
  silence,
  closed_socket,
  bad_exception,
  bad_failure,
  failure_of_no_kind,
  descriptors_unannounced,
  descriptors_announced_only,
  descriptors_too_few,
  descriptors_too_many,
  // Only with shared memory.
  unannounced,
  written_too_much,
  waking,
};

// The only socket that a worker has.
int channel() {
  int found = -1;
  DIR* const open = ::opendir("/proc/self/fd");
  while (const dirent* const entry = ::readdir(open)) {
    const int fd = std::atoi(entry->d_name);
    struct stat status{};
    if (::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) && fd > STDERR_FILENO) found = fd;
  }
  ::closedir(open);
  return found;
}

// The memory that a worker shares with its parent.
leasepool::detail::WorkerMemory* memory() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("leasepool-status") == std::string::npos) continue;
    const std::uintptr_t address = std::stoul(line, nullptr, 16);
    return reinterpret_cast<leasepool::detail::WorkerMemory*>(address);
  }
  std::abort();
}

bool through_ring = false;

void write_to_ring(const std::byte* data, std::size_t size) {
  static leasepool::detail::ByteRing& ring = memory()->outcomes;
  for (std::size_t i = 0; i < size; ++i) {
    while (ring.written - ring.read >= leasepool::detail::ByteRing::kSize) std::this_thread::yield();
    ring.bytes[ring.written % leasepool::detail::ByteRing::kSize] = data[i];
    ring.written = ring.written + 1;
  }
  leasepool::detail::Bytes wake = begin_frame();
  finish_frame(wake, FrameType::wake, 0, 0);
  if (ring.reader_sleeps.exchange(0) != 0) (void)!::send(channel(), wake.data(), wake.size(), MSG_NOSIGNAL);
}

void write_all(const void* data, std::size_t size) {
  if (through_ring) return write_to_ring(static_cast<const std::byte*>(data), size);
  const auto* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t sent = ::send(channel(), next, size, MSG_NOSIGNAL);
    if (sent <= 0) return;
    next += sent;
    size -= static_cast<std::size_t>(sent);
  }
}

void write_frame(FrameType type, std::uint64_t call_id, std::string_view payload = {}) {
  Bytes frame = begin_frame();
  frame.append(payload.data(), payload.size());
  finish_frame(frame, type, call_id, 0);
  write_all(frame.data(), frame.size());
}

// A header with any numbers in it.
void write_header(std::uint32_t type, std::uint64_t length, std::uint64_t call_id) {
  Bytes frame = begin_frame();
  finish_frame(frame, FrameType::value, call_id, 0);
  std::memcpy(frame.data() + 4, &type, sizeof type);
  std::memcpy(frame.data() + 8, &length, sizeof length);
  write_all(frame.data(), frame.size());
}

// A frame that announces so many descriptors, and comes with others.
void write_descriptors(std::uint64_t call_id, std::size_t announced, std::size_t sent, std::string_view payload = {}) {
  Bytes frame = begin_frame();
  frame.append(payload.data(), payload.size());
  finish_frame(frame, FrameType::value, call_id, 0, announced);
  leasepool::detail::Descriptors descriptors;
  const int socket = channel();
  for (std::size_t i = 0; i < sent; ++i) descriptors.emplace_back(::memfd_create("unsealed", MFD_CLOEXEC));
  leasepool::detail::Message message;
  (void)!::sendmsg(socket, message.to_send(frame.view(), descriptors), MSG_NOSIGNAL);
}

constexpr std::uint32_t kValue = static_cast<std::uint32_t>(FrameType::value);

void tell(Lie lie, std::uint64_t call) {
  const std::string noise(64, 'n');
  switch (lie) {
    case Lie::wrong_magic: return write_all(noise.data(), noise.size());
    case Lie::unknown_type: return write_header(99, 0, call);
    case Lie::too_long: return write_header(kValue, 1'000'001, call);
    case Lie::longest_length: return write_header(kValue, UINT64_MAX, call);
    case Lie::wrong_call: return write_frame(FrameType::value, call + 1000);
    case Lie::call_zero: return write_frame(FrameType::value, 0);
    case Lie::second_hello: return write_frame(FrameType::hello, 0);
    case Lie::call_to_parent: return write_frame(FrameType::call, call);
    case Lie::passing: return write_frame(FrameType::refused_call, call);
    case Lie::endless_outcomes:
      for (std::uint64_t i = 1;; ++i) write_frame(FrameType::value, call + i, noise);
    case Lie::endless_noise:
      for (;;) write_all(noise.data(), noise.size());
    case Lie::endless_frame:
      write_header(kValue, 1'000'000, call + 1);
      for (;;) write_all(noise.data(), noise.size());
    case Lie::half_a_header:
      write_all("LPf1\3", 5);
      ::shutdown(channel(), SHUT_RDWR);
      return;
    case Lie::half_a_payload:
      write_header(kValue, 1000, call);
      write_all(noise.data(), noise.size());
      ::shutdown(channel(), SHUT_RDWR);
      return;
    case Lie::silence: write_header(kValue, 1000, call); return write_all(noise.data(), noise.size());
    case Lie::closed_socket: ::close(channel()); return;
    case Lie::bad_exception: return write_frame(FrameType::exception, call, "\xff\xff\xff\x7f");
    case Lie::bad_failure: return write_frame(FrameType::failure, call, "");
    case Lie::descriptors_unannounced: return write_descriptors(call, 0, 3, "same");
    case Lie::descriptors_announced_only: return write_descriptors(call, 2, 0, "same");
    case Lie::descriptors_too_few: return write_descriptors(call, 3, 2, "same");
    case Lie::descriptors_too_many: return write_descriptors(call + 1000, 2, 3, "same");
    case Lie::unannounced: through_ring = false; return write_frame(FrameType::value, call);
    case Lie::written_too_much:
      memory()->outcomes.written += leasepool::detail::ByteRing::kSize + 1;
      return write_to_ring(nullptr, 0);
    case Lie::waking: {
      through_ring = false;
      for (;;) write_frame(FrameType::wake, 0);
    }
    case Lie::failure_of_no_kind: return write_frame(FrameType::failure, call, std::string_view("\0\1\0\0\0\0\0\0", 8));
  }
}

// Tells one lie and never ends by itself. The call's own id comes in as an argument.
int lie(int how, std::uint64_t call, bool shares_memory) {
  through_ring = shares_memory;
  tell(static_cast<Lie>(how), call);
  for (;;) ::pause();
}

// Ends, as if nothing was.
void lie_about_reading() { memory()->calls.read = UINT64_MAX / 2; }

// Sends an outcome of its own and then goes the ordinary way, so that a second one follows.
int answer_twice(std::uint64_t call, std::int32_t value) {
  write_frame(FrameType::value, call, {reinterpret_cast<const char*>(&value), sizeof value});
  return 2;
}

// Sends an outcome whose bytes are no int.
int answer_nonsense(std::uint64_t call) {
  write_frame(FrameType::value, call, "nonsense");
  for (;;) ::pause();
}

// Sends descriptors that are not what the result's bytes say.
leasepool::SharedBuffer answer_with(std::uint64_t call, std::uint32_t number, std::size_t descriptors) {
  write_descriptors(call, descriptors, descriptors, {reinterpret_cast<const char*>(&number), sizeof number});
  for (;;) ::pause();
}
std::vector<leasepool::Fd> answer_twice_with(std::uint64_t call) {
  const std::uint64_t length = 2;
  const std::string payload = std::string(reinterpret_cast<const char*>(&length), sizeof length) + std::string(8, '\0');
  write_descriptors(call, 1, 1, payload);
  for (;;) ::pause();
}

}  // namespace lies

LEASEPOOL_REGISTER(lies::lie);
LEASEPOOL_REGISTER(lies::lie_about_reading);
LEASEPOOL_REGISTER(lies::answer_twice);
LEASEPOOL_REGISTER(lies::answer_nonsense);
LEASEPOOL_REGISTER(lies::answer_with);
LEASEPOOL_REGISTER(lies::answer_twice_with);

using lies::Lie;

namespace {

detail::PoolOptions options(bool shared_memory = false) {
  detail::PoolOptions made = TestPool::options_for(2);
  made.shared_memory = shared_memory;
  made.max_payload = 1'000'000;
  return made;
}

// The id that the pool's next call will have.
std::uint64_t next_call_id(TestPool& pool) { return pool.call(pool_functions::nothing)->id + 1; }

struct Row {
  Lie lie;
  const char* says;
};
const Row kLiesInTheRing[] = {
    {Lie::wrong_magic, "not a frame: wrong magic number"},
    {Lie::unknown_type, "a frame of unknown type 99"},
    {Lie::too_long, "a frame of 1000001 bytes where 1000000 are allowed"},
    {Lie::longest_length, "a frame of 18446744073709551615 bytes where 1000000 are allowed"},
    {Lie::wrong_call, "an outcome of a call it does not run"},
    {Lie::second_hello, "a second hello"},
    {Lie::passing, "a call that it was not refused"},
    {Lie::endless_outcomes, "an outcome of a call it does not run"},
    {Lie::endless_noise, "not a frame: wrong magic number"},
    {Lie::endless_frame, "an outcome of a call it does not run"},
    {Lie::half_a_header, "closed its channel"},
    {Lie::closed_socket, "closed its channel"},
    {Lie::bad_exception, "an unknown kind of exception"},
    {Lie::unannounced, "a frame through its socket that its ring does not announce"},
    {Lie::written_too_much, "it wrote more to its ring than there is room for"},
    {Lie::waking, "it woke who did not sleep"},
};
const Row kLies[] = {
    {Lie::wrong_magic, "not a frame: wrong magic number"},
    {Lie::unknown_type, "a frame of unknown type 99"},
    {Lie::too_long, "a frame of 1000001 bytes where 1000000 are allowed"},
    {Lie::longest_length, "a frame of 18446744073709551615 bytes where 1000000 are allowed"},
    {Lie::wrong_call, "an outcome of a call it does not run"},
    {Lie::call_zero, "an outcome of a call it does not run"},
    {Lie::second_hello, "a second hello"},
    {Lie::call_to_parent, "a call"},
    {Lie::passing, "a call that it was not refused"},
    {Lie::endless_outcomes, "an outcome of a call it does not run"},
    {Lie::endless_noise, "not a frame: wrong magic number"},
    {Lie::endless_frame, "an outcome of a call it does not run"},
    {Lie::half_a_header, "closed its channel"},
    {Lie::half_a_payload, "closed its channel"},
    {Lie::closed_socket, "closed its channel"},
    {Lie::bad_exception, "an unknown kind of exception"},
    {Lie::bad_failure, "more bytes"},
    {Lie::failure_of_no_kind, "an unknown error code"},
    {Lie::descriptors_announced_only, "fewer descriptors than it announces"},
    {Lie::descriptors_too_few, "fewer descriptors than it announces"},
    {Lie::descriptors_too_many, "descriptors that no frame announces"},
};

}  // namespace

TEST_CASE("a worker that lies is killed, and its call says how it lied", "[lies][W7]") {
  const bool shared_memory = GENERATE(false, true);
  const auto rows = shared_memory ? std::span<const Row>(kLiesInTheRing) : std::span<const Row>(kLies);
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options(shared_memory));
  REQUIRE(pool.start().has_value());
  const auto neighbour = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  for (const Row& row : rows) {
    CAPTURE(shared_memory, static_cast<int>(row.lie), row.says);
    const pid_t worker = pool.result_of(pool_functions::process_id).value();
    const auto lied = pool.result_of(lies::lie, static_cast<int>(row.lie), next_call_id(pool), shared_memory);
    REQUIRE_FALSE(lied.has_value());
    CAPTURE(lied.error().message());
    CHECK(lied.error().code() == Errc::worker_crashed);
    CHECK_THAT(lied.error().message(), ContainsSubstring(row.says));
    CHECK_THAT(lied.error().message(), ContainsSubstring("lies::lie"));
    CHECK_THAT(lied.error().message(), ContainsSubstring("process " + std::to_string(worker)));
    CHECK(pool.result_of(pool_functions::process_id).value() != worker);
  }
  CHECK(pool.totals->workers_crashed == rows.size());
  CHECK_FALSE(neighbour->ended());
  shared().gate = 1;
  CHECK(pool.wait([&] { return neighbour->ended(); }));
  CHECK(neighbour->succeeded());
}

// It is found out with the next call for which the ring might have no room.
TEST_CASE("a worker that says it read what it was not sent is killed, and its next call goes to another",
          "[lies][W7]") {
  Loop loop;
  detail::PoolOptions one = options(true);
  one.workers = 1;
  TestPool pool(loop, ExecutorBackend::process, std::move(one));
  REQUIRE(pool.start().has_value());
  const std::string half_a_ring(31'900, 'x');
  CHECK(pool.result_of(pool_functions::length_of, half_a_ring).value() == half_a_ring.size());
  CHECK(pool.result_of(lies::lie_about_reading).has_value());
  CHECK(pool.result_of(pool_functions::length_of, half_a_ring).value() == half_a_ring.size());
  CHECK(pool.totals->workers_crashed == 1);
  CHECK(pool.logged("it read what was not written to its ring"));
}

TEST_CASE("a worker that falls silent in the middle of a frame ends at its call's deadline", "[lies][W7]") {
  Loop loop;
  const ManagerOptions one_worker{
      .backend = ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 1, .log = [](const LogRecord&) {}};
  loop.block_on(test::with_manager(loop, one_worker, [](LeasedExecutorManager& manager) -> Task<> {
    {
      auto lease = co_await manager.acquire();
      std::optional<Result<int>> silent;
      lease.with({.timeout = 100ms})
          .run_async(lies::lie, static_cast<int>(Lie::silence), 0, false,
                     [&](Result<int> result) { silent.emplace(std::move(result)); });
      const auto next = co_await lease.run(pool_functions::add, 1, 2);  // on the worker that replaces it
      CHECK(next == 3);
      REQUIRE(silent.has_value());
      REQUIRE_FALSE(silent->has_value());
      CHECK(silent->error().code() == Errc::timed_out);
    }
    CHECK(manager.stats().workers_killed == 1);
  }));
}

TEST_CASE("of two outcomes the first counts, and the second costs the worker", "[lies][W7]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options());
  REQUIRE(pool.start().has_value());
  for (int i = 0; i < 5; ++i) {
    const auto call = pool.call(lies::answer_twice, next_call_id(pool), 1);
    REQUIRE(pool.wait([&] { return call->ended(); }));
    CHECK(call->result->value() == 1);
    CHECK(pool.wait([&] { return pool.totals->workers_crashed == static_cast<std::uint64_t>(i) + 1; }));
    CHECK(call->deliveries == 1);
    CHECK(pool.wait([&] { return pool.logged("an outcome of a call it does not run"); }));
  }
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
}

TEST_CASE("a worker whose outcome comes twice cannot give its next call a result", "[lies][W7][W2]") {
  Loop loop;
  detail::PoolOptions one = options();
  one.workers = 1;
  TestPool pool(loop, ExecutorBackend::process, std::move(one));
  REQUIRE(pool.start().has_value());
  for (int i = 0; i < 20; ++i) {
    const auto liar = pool.call(lies::answer_twice, next_call_id(pool), 1);
    const auto next = pool.call(pool_functions::add, i, 1);  // goes out as soon as the first outcome is there
    REQUIRE(pool.wait([&] { return next->ended(); }));
    CHECK(liar->result->value() == 1);
    if (next->succeeded()) {
      CHECK(next->result->value() == i + 1);
    } else {
      CHECK(next->code() == Errc::worker_crashed);  // it had begun when the second outcome came
    }
  }
}

TEST_CASE("a result that does not decode fails the call, not the parent", "[lies][W7]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options());
  REQUIRE(pool.start().has_value());
  const auto result = pool.result_of(lies::answer_nonsense, next_call_id(pool));
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code() == Errc::bad_payload);
  CHECK_THAT(result.error().message(), ContainsSubstring("lies::answer_nonsense"));
}

TEST_CASE("descriptors that no frame announces cost the worker, and the call that it answered has its result",
          "[lies][W7][fd]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options());
  REQUIRE(pool.start().has_value());
  const auto before = test::open_descriptors();
  const auto call = pool.call(lies::lie, static_cast<int>(Lie::descriptors_unannounced), next_call_id(pool), false);
  REQUIRE(pool.wait([&] { return call->ended() && pool.totals->workers_crashed == 1; }));
  CHECK(call->succeeded());
  CHECK(pool.wait([&] { return pool.logged("descriptors that no frame announces"); }));
  CHECK(pool.wait([&] { return pool.totals->workers_started == 3; }));
  CHECK(eventually([&] { return test::open_descriptors().size() == before.size(); }));
}

TEST_CASE("a result whose descriptors are not what it says fails the call and leaks nothing", "[lies][W7][fd]") {
  Loop loop;
  const auto before = test::open_descriptors();
  const auto check_bad = [&](auto function, const std::string& says, auto... arguments) {
    TestPool pool(loop, ExecutorBackend::process, options());
    REQUIRE(pool.start().has_value());
    const auto started = test::open_descriptors();
    const auto result = pool.result_of(function, next_call_id(pool), arguments...);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code() == Errc::bad_payload);
    CHECK_THAT(result.error().message(), ContainsSubstring(says));
    CHECK(eventually([&] { return test::open_descriptors() == started; }));
  };
  check_bad(lies::answer_with, "not sealed", 0U, 1U);
  check_bad(lies::answer_with, "descriptor 1 of 1 is not there", 1U, 1U);
  check_bad(lies::answer_with, "2 descriptors too many", detail::kNoDescriptor, 2U);
  check_bad(lies::answer_twice_with, "descriptor 0 of 1 is not there, or was taken before");
  CHECK(test::run_until(loop, [&] { return test::open_descriptors() == before; }));
}

TEST_CASE("liars leave no process and no descriptor", "[lies][W4][W7]") {
  Loop loop;
  const auto descriptors = test::open_descriptors();
  const auto processes = test::child_processes();
  {
    TestPool pool(loop, ExecutorBackend::process, options());
    REQUIRE(pool.start().has_value());
    for (const Row& row : kLies) (void)pool.result_of(lies::lie, static_cast<int>(row.lie), next_call_id(pool), false);
  }
  CHECK(test::run_until(loop, [&] { return test::open_descriptors() == descriptors; }));
  CHECK(test::child_processes() == processes);
}
