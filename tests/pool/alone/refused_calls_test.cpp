// Systems that refuse what fork servers and their connections are made of: there is another way, or an error that names
// the call.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "alone.hpp"
#include "base/unique_fd.hpp"
#include "leasepool/function.hpp"
#include "leasepool/init.hpp"
#include "pool/functions.hpp"
#include "pool/harness.hpp"
#include "pool/held_calls.hpp"
#include "support/process_state.hpp"
#include "support/refuse.hpp"
#include "support/sanitized.hpp"
#include "support/socket_pair.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::detail::UniqueFd;
using leasepool::test::TestPool;
using test::refuse;

namespace refused_cases {

// How many descriptors the process has of a file.
int open_files(ino_t inode) {
  int found = 0;
  for (int fd = 0; fd < 1024; ++fd) {
    struct stat file{};
    if (::fstat(fd, &file) == 0 && file.st_ino == inode) ++found;
  }
  return found;
}

}  // namespace refused_cases

LEASEPOOL_REGISTER(refused_cases::open_files);

namespace {

// Descriptors of the program, with numbers far apart, are not a worker's, and those of a worker are.
void check_workers_have_none_of_ours() {
  const UniqueFd low(::memfd_create("ours", 0));
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const UniqueFd high(::fcntl(low.get(), F_DUPFD, std::min<rlim_t>(777, limit.rlim_cur - 1)));
  struct stat file{};
  REQUIRE(::fstat(low.get(), &file) == 0);
  REQUIRE(refused_cases::open_files(file.st_ino) == 2);
  init();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  const auto started = pool.start();
  CAPTURE(started ? "" : started.error().message());
  REQUIRE(started.has_value());
  CHECK(pool.result_of(refused_cases::open_files, file.st_ino).value() == 0);
  CHECK(pool.result_of(pool_functions::exit_at_once, 3).error().code() == Errc::worker_crashed);
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
}

}  // namespace

ALONE_TEST_CASE("without close_range descriptors are closed one by one", "[refused]") {
  refuse(SYS_close_range, ENOSYS);
  check_workers_have_none_of_ours();
}

ALONE_TEST_CASE("without close_range and a list of them descriptors are closed by number", "[refused]") {
  if (test::kSanitized) return void(alone::skip("a sanitizer lists threads at the end, which is refused here"));
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max = std::min<rlim_t>(limit.rlim_max, 4096);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  refuse(SYS_close_range, EPERM);
  refuse(SYS_getdents64, EPERM);
  check_workers_have_none_of_ours();
}

ALONE_TEST_CASE("a fork server that cannot close what is not its own does not start", "[refused][L4]") {
  if (test::kSanitized) return void(alone::skip("a sanitizer lists threads at the end, which is refused here"));
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  refuse(SYS_close_range, EPERM);
  refuse(SYS_getdents64, EPERM);
  refuse(SYS_prlimit64, EPERM);
  try {
    init();
    FAIL("it has started");
  } catch (const std::system_error& error) {
    CHECK_THAT(error.what(), ContainsSubstring("could not be started: close_range"));
  }
}

ALONE_TEST_CASE("without pidfds a start fails and names the call", "[refused][L4]") {
  refuse(SYS_pidfd_open, ENOSYS);
  init();
  Loop loop;
  for (int i = 0; i < 2; ++i) {
    CHECK_THAT(alone::message_of_unsupported_start(loop), ContainsSubstring("pidfd_open is refused"));
  }
}

ALONE_TEST_CASE("without poll all goes on", "[refused]") {
  init();
  refuse(SYS_poll, EPERM);
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(pool_functions::exit_at_once, 3).error().code() == Errc::worker_crashed);
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
}

ALONE_TEST_CASE("without pidfd_send_signal the server kills and so does its successor", "[refused][E6][L3][W6]") {
  refuse(SYS_pidfd_send_signal, EPERM);
  init();
  test::HeldCalls held(2, 2);
  TestPool& pool = held.pool;
  const pid_t server = alone::both_fork_servers().front();
  CHECK(pool.pool->interrupt(*held.calls[0]->job, {Errc::timed_out, "too long"}));
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  ::kill(server, SIGKILL);
  CHECK(pool.pool->interrupt(*held.calls[1]->job, {Errc::timed_out, "too long"}));
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
  CHECK(pool.wait([] { return alone::family().size() - alone::fork_servers().size() == 2; }));
}

ALONE_TEST_CASE("a stop ends although who alone may kill is stopped", "[refused][L3]") {
  refuse(SYS_pidfd_send_signal, EPERM);
  init();
  test::HeldCalls held(1, 1);
  TestPool& pool = held.pool;
  const pid_t server = pool.totals->workers_started == 1 ? alone::both_fork_servers().front() : 0;
  REQUIRE(pool.stop_process(server));
  bool closed = false;
  pool.pool->close([&] { closed = true; });
  pool.pool->kill();
  CHECK(pool.wait([&] { return closed; }, 30s));
  CHECK(pool.logged("is not dead yet"));
  CHECK(alone::family().size() == 3);
  pool.pool.reset();
  ::kill(server, SIGCONT);
  CHECK(pool.wait([] { return alone::family().size() == alone::fork_servers().size(); }));
}

// Others of the same user have more descriptors on their way than it may have open: it lasts until they are received.
ALONE_TEST_CASE("a start that the kernel refuses for descriptors on their way says so and can be tried again",
                "[refused][L4]") {
  init();
  if (!alone::become_somebody()) return;
  const rlimit few{.rlim_cur = 64, .rlim_max = 64};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  Loop loop;
  {
    test::SocketPair pair;
    std::vector<int> fds(60, STDIN_FILENO);
    std::vector<std::byte> control(CMSG_SPACE(sizeof(int) * fds.size()));
    char byte = 0;
    iovec part{.iov_base = &byte, .iov_len = 1};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    *CMSG_FIRSTHDR(&header) = {
        .cmsg_len = CMSG_LEN(sizeof(int) * fds.size()), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    std::memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), fds.data(), sizeof(int) * fds.size());
    while (::sendmsg(pair.ours.get(), &header, MSG_DONTWAIT) >= 0) {
    }
    REQUIRE(errno == ETOOMANYREFS);
    TestPool pool(loop, ExecutorBackend::process, 1);
    const auto started = pool.start();
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code() == Errc::pool_broken);
    CHECK_THAT(started.error().message(), ContainsSubstring("on their way") && ContainsSubstring("ulimit -n"));
  }
  TestPool pool(loop, ExecutorBackend::process, 1);
  const auto started = pool.start();
  CAPTURE(started ? "" : started.error().message());
  REQUIRE(started.has_value());
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);
}
